"""MMLU-Pro: 12,032 test questions in 14 subjects, options A to J (arXiv 2406.01574)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import LETTERS, NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import TEST, VALIDATION, Record, records, source_files, unique
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer

# Prompt and decoding are those of the official evaluate_from_local.py and cot_prompt_lib/initial_prompt.txt.
_PREAMBLE = (
    "The following are multiple choice questions (with answers) about {subject}. Think step by step and then finish"
    ' your answer with "the answer is (X)" where X is the correct letter choice.\n\n\n\n'
)
_COT = "Let's think step by step."
_PADDING = "N/A"
"""Padding of the list of options in older revisions of the data."""

# The three rules of the official script (github.com/TIGER-AI-Lab/MMLU-Pro, compute_accuracy.py), each applied only if
# those before it found nothing: name, a text without which the pattern cannot match (a substring search is much
# faster), and pattern. Two of the official patterns take quadratic time:
# - `.*[aA]nswer:\s*([A-J])` is tried from every character. A match from the middle of a line is also one from its
#   start, with the same last "answer:", so `^` gives the same result.
# - `\b[A-J]\b(?!.*\b[A-J]\b)` reads to the end from every lone capital. A greedy `.*` from the start of the text
#   steps back from the end to the same capital; most steps meet no capital, so that is tested before the word
#   boundaries.
_RULES = (
    ("answer is", "answer is ", re.compile(r"answer is \(?([A-J])\)?")),
    ("answer:", "nswer:", re.compile(r"^.*[aA]nswer:\s*([A-J])", re.MULTILINE)),
    ("last letter", "", re.compile(r"\A.*([A-J])(?<=\b[A-J])\b", re.DOTALL)),
)


class MmluPro:
    """MMLU-Pro: chain of thought with five worked examples of the same subject."""

    name = "mmlu-pro"
    subjects: tuple[str, ...] = (
        "biology",
        "business",
        "chemistry",
        "computer science",
        "economics",
        "engineering",
        "health",
        "history",
        "law",
        "math",
        "other",
        "philosophy",
        "physics",
        "psychology",
    )

    template = "5-shot chain of thought, 1"
    n_shots = 5
    decoding = Decoding(max_new_tokens=2048, stop=("Question:",))
    hub: HubSource | None = HubSource(
        "TIGER-Lab/MMLU-Pro", "527feea0afed1de15a8c115abf7be4c912123315", ("data/*.parquet",)
    )

    def load(self, path: Path) -> Iterator[Query]:
        """The test questions. The 70 validation items are the worked examples, so they are not queries."""
        rows = (row for file in source_files(path, TEST) for row in records(file.path))
        return unique(path, map(self._query, rows))

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """The first five validation items of each subject with their worked answers (`cot_content`)."""
        blocks: dict[str, list[str]] = {}
        for file in source_files(path, VALIDATION):
            for row in records(file.path):
                blocks.setdefault(row.one_of("category", self.subjects), []).append(_shot(row))
        return {subject: Shots(blocks=tuple(found[: self.n_shots])) for subject, found in blocks.items()}

    def request(self, query: Query, shots: Shots) -> Request:
        """The official prompt, verbatim."""
        question = f"{_question_block(query.text, query.choices)}Answer: {_COT}"
        return Request(question, preamble=_PREAMBLE.format(subject=query.subject), shots=shots.blocks)

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """1.0 if the letter that a response decides on is the query's answer, else 0.0.

        The rule says how the letter was found. If the official script would pick a random letter, there is no answer
        (rule "none"), and the score is 0. Takes time linear in the length of the text.
        """
        for rule, needed, pattern in _RULES:
            if needed in text and (found := pattern.search(text)):
                return ScoredAnswer(float(found[1] == query.answer), found[1], rule)
        return NO_ANSWER

    def _query(self, row: Record) -> Query:
        choices = _options(row)
        return Query(
            key=row.text("question_id"),
            subject=row.one_of("category", self.subjects),
            text=row.text("question"),
            choices=choices,
            answer=row.one_of("answer", LETTERS[: len(choices)]),
            source=row.optional("src").partition("-")[0] or None,
        )


def _options(row: Record) -> tuple[str, ...]:
    return tuple(option for option in row.texts("options") if option != _PADDING)


def _question_block(question: str, options: tuple[str, ...]) -> str:
    listed = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False))
    return f"Question:\n{question}\nOptions:\n{listed}"


def _shot(row: Record) -> str:
    worked = row.text("cot_content").replace(f"A: {_COT}", f"Answer: {_COT}")
    return f"{_question_block(row.text('question'), _options(row))}{worked}\n\n"
