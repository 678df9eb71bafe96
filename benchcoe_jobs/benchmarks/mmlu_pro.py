"""MMLU-Pro: 12,032 test questions in 14 subjects, options A to J (arXiv 2406.01574)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import LETTERS, NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import TEST, VALIDATION, Record, records, source_files, unique
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer

# Prompt and decoding as in evaluate_from_local.py there; the first sentence is its cot_prompt_lib/initial_prompt.txt.
_PREAMBLE = (
    "The following are multiple choice questions (with answers) about {subject}. Think step by step and then finish"
    ' your answer with "the answer is (X)" where X is the correct letter choice.\n\n\n\n'
)
_COT = "Let's think step by step."
_PADDING = "N/A"
"""What older revisions of the data fill up the list of options with."""

# The three stages of the official script (github.com/TIGER-AI-Lab/MMLU-Pro, compute_accuracy.py), each
# searched only where the ones before it found nothing. Two of them took quadratic time there:
# - `.*[aA]nswer:\s*([A-J])` began anew at every character. Whatever matches from the middle of a line
#   matches from its start too, and with the same last "answer:", so `^` loses nothing.
# - `\b[A-J]\b(?!.*\b[A-J]\b)` read on to the end from every lone capital. A greedy `.*` from the start of
#   the text steps back from the end instead, to the same last one; most steps meet no capital, so that is
#   asked before the borders of a word.
# In the middle stands a text without which a pattern cannot match: looking for that alone is much faster.
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
        """The test questions. The 70 validation items are the worked examples: what is in prompts is not asked."""
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
        """The official prompt, word for word."""
        question = f"{_asked(query.text, query.choices)}Answer: {_COT}"
        return Request(question, preamble=_PREAMBLE.format(subject=query.subject), shots=shots.blocks)

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """1.0 where the letter that a response settles on is the query's answer, else 0.0.

        The rule says how the letter was found. Where the official script picks a random letter,
        there is no answer here (rule "none"), and that is wrong. Linear in the length of the text.
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


def _asked(question: str, options: tuple[str, ...]) -> str:
    listed = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False))
    return f"Question:\n{question}\nOptions:\n{listed}"


def _shot(row: Record) -> str:
    worked = row.text("cot_content").replace(f"A: {_COT}", f"Answer: {_COT}")
    return f"{_asked(row.text('question'), _options(row))}{worked}\n\n"
