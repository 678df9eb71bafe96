"""MMMU: 900 validation questions with pictures in 30 subjects, 847 with choices and 53 open (arXiv 2311.16502).

Choices are read off a response as in github.com/MMMU-Benchmark/MMMU, eval/eval_utils.py
(`parse_multi_choice_response`), minus its random guess; for open answers see `mmmu_open`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import LETTERS, NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import Record, records, source_files, unique
from benchcoe_jobs.benchmarks.mmmu_open import score_open
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer, Split

_ID = re.compile(r"(?:validation|dev|test)_(.+)_\d+")
_VALIDATION = {"validation": Split.VALIDATION, "val": Split.VALIDATION}
"""Its dev set is another one: examples for few-shot prompts."""

_MAX_IMAGES = 7
_MAX_LITERAL = 100_000
"""Characters of a list written as Python: far above any in the data, and nothing that stops the parser."""

_FEW_WORDS = 5
"""In a response of no more words the text of an option is not looked for."""

_PUNCTUATION = ",.!?;:'"


class Mmmu:
    """MMMU: zero-shot, with all pictures of the question. A query without choices is open."""

    name = "mmmu"
    subjects: tuple[str, ...] = (
        "Accounting",
        "Agriculture",
        "Architecture_and_Engineering",
        "Art",
        "Art_Theory",
        "Basic_Medical_Science",
        "Biology",
        "Chemistry",
        "Clinical_Medicine",
        "Computer_Science",
        "Design",
        "Diagnostics_and_Laboratory_Medicine",
        "Economics",
        "Electronics",
        "Energy_and_Power",
        "Finance",
        "Geography",
        "History",
        "Literature",
        "Manage",
        "Marketing",
        "Materials",
        "Math",
        "Mechanical_Engineering",
        "Music",
        "Pharmacy",
        "Physics",
        "Psychology",
        "Public_Health",
        "Sociology",
    )
    template = "zero-shot, letter or phrase, 1"
    n_shots = 0
    decoding = Decoding(max_new_tokens=1024, chat=True)
    hub: HubSource | None = HubSource(
        "MMMU/MMMU", "98e6ac0cb9b7b2cd2c991b85a50762edc4aedc68", ("*/validation-*.parquet",)
    )

    def load(self, path: Path) -> Iterator[Query]:
        """The validation questions. The answers of the test set are not published."""
        rows = (row for file in source_files(path, _VALIDATION) for row in records(file.path))
        return unique(path, map(self._query, rows))

    def _query(self, row: Record) -> Query:
        key = row.text("id")
        named = _ID.fullmatch(key)
        if named is None or named[1] not in self.subjects:
            raise row.fault(f"id {key!r} names no subject, as validation_Math_1 does")
        is_open = row.one_of("question_type", ("multiple-choice", "open", "short-answer")) != "multiple-choice"
        choices = () if is_open else _listed(row, "options")
        answers = _listed(row, "answer")
        if not answers or (not is_open and (len(answers) > 1 or answers[0] not in LETTERS[: len(choices)])):
            raise row.fault(f"answer {row.cells.get('answer')!r} is none of the options")
        images = (row.image(f"image_{number}") for number in range(1, _MAX_IMAGES + 1))
        return Query(
            key=key,
            subject=named[1],
            text=row.text("question"),
            choices=choices,
            answer=answers[0] if len(answers) == 1 else json.dumps(answers, ensure_ascii=False),
            images=tuple(image for image in images if image is not None),
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """None: zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """The official prompt (mmmu/utils/data_utils.py with configs/llava1.5.yaml), with every picture.

        Text and options name them as <image 1>, <image 2> and so on.
        """
        if not query.choices:
            text = f"{query.text}\nAnswer the question using a single word or phrase."
        else:
            listed = "".join(f"({letter}) {choice}\n" for letter, choice in zip(LETTERS, query.choices, strict=False))
            text = f"{query.text}\n{listed}\nAnswer with the option's letter from the given choices directly."
        return Request(text, images=query.images)

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """A choice by `(X)`, else ` X `, else by an option's text; an open answer by normalised match.

        Where several choices of a kind are there, the last one counts. The official script picks a random
        choice where there is none; here that is no answer.
        """
        if not query.choices:
            return score_open(text, _answers(query.answer))
        rule, places = _places(text, query.choices)
        if not places:
            return NO_ANSWER
        letter = max(places, key=places.__getitem__)  # of equal places the first, as np.argmax there
        return ScoredAnswer(float(letter == query.answer), letter, rule)


def _places(text: str, choices: tuple[str, ...]) -> tuple[str, dict[str, int]]:
    """How choices are named, and where each of them is named last; no place where none is."""
    for character in _PUNCTUATION:
        text = text.strip(character)
    text = f" {text} "
    letters = LETTERS[: len(choices)]
    for rule, form in (("(X)", "({})"), ("X", " {} ")):
        places = {letter: text.rfind(form.format(letter)) for letter in letters}
        places = {letter: place for letter, place in places.items() if place >= 0}
        if places:
            return rule, places
    if len(text.split()) <= _FEW_WORDS:
        return "none", {}
    # rfind() takes quadratic time for long needles, find() does not: look from the back.
    backwards = text.lower()[::-1]
    places = {}
    for letter, choice in zip(letters, choices, strict=False):
        wanted = choice.lower()[::-1]
        distance = backwards.find(wanted) if wanted.strip() else -1  # a blank option is in every response
        if distance >= 0:
            places[letter] = len(backwards) - distance - len(wanted)
    return "option text", places


def _listed(row: Record, column: str) -> tuple[str, ...]:
    """A list of texts: as such, or written as Python ("['a', 'b']"), as the hub's files have it; or one text."""
    value = row.cells.get(column)
    if isinstance(value, str) and value.startswith("[") and len(value) <= _MAX_LITERAL:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
    if isinstance(value, list):
        return tuple(Record(row.path, row.number, {column: item}).optional(column) for item in value)
    return (row.text(column),)


def _answers(answer: str | None) -> tuple[str, ...]:
    """The right answers to an open question: several stand as a JSON list in the query's answer."""
    if answer is None:
        return ()
    if answer.startswith('["'):
        try:
            several = json.loads(answer)
        except (ValueError, RecursionError):
            return (answer,)
        return tuple(item for item in several if isinstance(item, str))
    return (answer,)
