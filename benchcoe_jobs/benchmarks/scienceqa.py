"""ScienceQA: 4,241 test questions in 3 subjects, half of them with an image (arXiv 2209.09513)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchcoe_jobs.benchmarks.base import LETTERS, NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import TEST, TRAIN, VALIDATION, Record, SourceFile, records, source_files, unique
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer

_SPLITS = TRAIN | VALIDATION | TEST
_CONTEXT = "\nContext: "
_STATED = re.compile(r"The answer is ([A-Z])(.)")
"""The last dot means any character, as in the script: "The answer is B, because"."""
_N_OPTIONS = 5
"""The letters A to E are options to the script, whatever the question has."""


class ScienceQA:
    """ScienceQA: zero-shot, with the image of the question if there is one."""

    name = "scienceqa"
    subjects: tuple[str, ...] = ("language science", "natural science", "social science")
    template = "zero-shot QCM, letter, 1"
    n_shots = 0
    decoding = Decoding(max_new_tokens=1024, chat=True)
    hub: HubSource | None = HubSource("derek-thomas/ScienceQA", None, ("data/*.parquet",))

    def load(self, path: Path) -> Iterator[Query]:
        """The questions of problems.json, of a folder with that file, or of the Parquet files of the hub.

        problems.json has all three splits; its images are beside it, as images/SPLIT/ID/NAME or SPLIT/ID/NAME. Keys
        are its ids; the Parquet files have none, so their keys are row numbers ("test-17").
        """
        listed = path / "problems.json"
        files = source_files(listed if listed.is_file() else path, _SPLITS)
        return unique(path, (self.query(row, file) for file in files for row in records(file.path)))

    def query(self, row: Record, file: SourceFile) -> Query:
        """A row of a file as the data set publishes it. Raises InputError."""
        hint = row.optional("hint").strip()
        choices = row.texts("choices")
        own_split = row.optional("split")
        if own_split and own_split not in _SPLITS:
            raise row.error(f"unknown split {own_split!r}")
        image = _with_image_path(row).image("image")
        return Query(
            key=row.optional("id") or f"{file.named or 'row'}-{row.number}",
            subject=row.one_of("subject", self.subjects),
            text=row.text("question") + (f"{_CONTEXT}{hint}" if hint else ""),
            choices=choices,
            answer=row.lettered("answer", choices),
            split=_SPLITS[own_split] if own_split else file.split,
            images=() if image is None else (image,),
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """Empty: the benchmark is zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """The official QCM form (github.com/lupantech/ScienceQA, models/base_prompt.py), then LLaVA's instruction."""
        question = query.text if _CONTEXT in query.text else f"{query.text}{_CONTEXT}N/A"
        options = " ".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, query.choices, strict=False))
        prompt = f"Question: {question}\nOptions: {options}".replace("  ", " ").strip()
        return Request(
            f"{prompt}\nAnswer with the option's letter from the given choices directly.", images=query.images
        )

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """A letter alone, a letter and ". " at the start, or the only "The answer is X" before another character.

        As in LLaVA's llava/eval/eval_science_qa.py, without its random choice if none of these is found. A letter
        beyond the choices is no answer, as there. The rule ends with "of a word" for "The answer is Both".
        """
        response = text.strip()
        options = LETTERS[: max(_N_OPTIONS, len(query.choices))]
        if len(response) == 1 and response in options:
            return _scored(response, "letter", query)
        if response and response[0] in options and response[1:3] == ". ":
            return _scored(response[0], "letter and dot", query)
        stated = _STATED.findall(response)
        if len(stated) != 1:
            return NO_ANSWER
        letter, after = stated[0]
        return _scored(letter, "the answer is, of a word" if after.isalpha() else "the answer is", query)


def _scored(letter: str, rule: str, query: Query) -> ScoredAnswer:
    if letter not in LETTERS[: len(query.choices)]:
        return NO_ANSWER
    return ScoredAnswer(float(letter == query.answer), letter, rule)


def _with_image_path(row: Record) -> Record:
    """The row with the path of its image, SPLIT/ID/NAME; problems.json has only the name."""
    name = row.cells.get("image")
    if not isinstance(name, str) or not name:
        return row
    inside = Path(row.text("split"), row.text("id"), name)
    at = Path("images") / inside if (row.path.parent / "images").is_dir() else inside
    return replace(row, cells={**row.cells, "image": str(at)})
