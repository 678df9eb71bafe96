"""BIG-Bench Hard: 6,511 questions in 27 tasks (arXiv 2210.09261, github.com/suzgunmirac/BIG-Bench-Hard)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import Record, read_text, records, source_files, unique
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer
from benchcoe_jobs.errors import InputError

_BEFORE_ANSWER = "the answer is "
_ANNOUNCED = "answer is"
_MAX_DIRECT = 500
"""Longest direct answer in characters; the longest target has 182."""
_CANARY_END = "-----\n"
"""The last line of the canary at the beginning of prompt files, which must not be sent to a model."""


class BigBenchHard:
    """BIG-Bench Hard: chain of thought with three worked examples of the same task."""

    name = "bbh"
    subjects: tuple[str, ...] = (
        "boolean_expressions",
        "causal_judgement",
        "date_understanding",
        "disambiguation_qa",
        "dyck_languages",
        "formal_fallacies",
        "geometric_shapes",
        "hyperbaton",
        "logical_deduction_five_objects",
        "logical_deduction_seven_objects",
        "logical_deduction_three_objects",
        "movie_recommendation",
        "multistep_arithmetic_two",
        "navigate",
        "object_counting",
        "penguins_in_a_table",
        "reasoning_about_colored_objects",
        "ruin_names",
        "salient_translation_error_detection",
        "snarks",
        "sports_understanding",
        "temporal_sequences",
        "tracking_shuffled_objects_five_objects",
        "tracking_shuffled_objects_seven_objects",
        "tracking_shuffled_objects_three_objects",
        "web_of_lies",
        "word_sorting",
    )
    template = "3-shot chain of thought, 1"
    n_shots = 3
    # "Q:" alone would cut answers that quote it; a model that continues with a question writes the empty line too.
    decoding = Decoding(max_new_tokens=1024, stop=("\n\nQ:",))
    hub: HubSource | None = None

    def load(self, path: Path) -> Iterator[Query]:
        """The questions of a checkout (folders bbh/ and cot-prompts/), of its folder bbh, or of the file of one task.

        The files have no ids: a key is the task and the position in its file from 0, "snarks/17".
        """
        return unique(path, self._queries(path / "bbh" if (path / "bbh").is_dir() else path))

    def _queries(self, path: Path) -> Iterator[Query]:
        for file in source_files(path, {}):
            task = file.path.stem
            if task not in self.subjects:
                raise InputError(f"{file.path}: {task!r} is not a task of BIG-Bench Hard")
            for number, row in enumerate(records(file.path)):
                yield self.query(row, task, number)

    def query(self, row: Record, task: str, number: int) -> Query:
        """The row of a task with a position in its file from 0. Raises InputError."""
        return Query(key=f"{task}/{number}", subject=task, text=row.text("input"), answer=row.text("target"))

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """The worked examples of the prompt files in the folder cot-prompts, in or beside `path`."""
        candidates = [parent / "cot-prompts" for parent in (path, *path.absolute().parents[:2])]
        folder = next((candidate for candidate in candidates if candidate.is_dir()), None)
        if folder is None:
            raise InputError(f"{path}: no folder cot-prompts, which has the worked examples, in it or beside it")
        return {file.stem: _shots(file) for file in sorted(folder.glob("*.txt")) if file.stem in self.subjects}

    def request(self, query: Query, shots: Shots) -> Request:
        """The official prompt, with which the published outputs were made."""
        return Request(f"Q: {query.text}\nA: Let's think step by step.", preamble=shots.preamble, shots=shots.blocks)

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """Exact match of the rest of the line after the first "the answer is ", without a final dot.

        The first counts because a model that is not stopped continues with further questions. A response of one line
        that announces no answer is a direct answer, of which the whole is compared, as for the published figures of
        prompts without a chain of thought.
        """
        _, _, rest = text.partition(_BEFORE_ANSWER)
        answer = rest.partition("\n")[0].strip().removesuffix(".")
        if answer:
            return ScoredAnswer(float(answer == query.answer), answer, "the answer is")
        whole = text.strip()
        if not whole or len(whole) > _MAX_DIRECT or "\n" in whole or _ANNOUNCED in whole.lower():
            return NO_ANSWER
        return ScoredAnswer(float(whole == query.answer), whole, "whole answer")


def _shots(file: Path) -> Shots:
    _, marked, prompt = read_text(file).partition(_CANARY_END)
    preamble, *blocks = prompt.rstrip("\n").split("\n\nQ: ")
    if not marked or not blocks:
        raise InputError(
            f"{file}: not a prompt of BIG-Bench Hard: a line of dashes, a description, questions after 'Q: '"
        )
    return Shots(f"{preamble}\n\n", tuple(f"Q: {block}\n\n" for block in blocks))
