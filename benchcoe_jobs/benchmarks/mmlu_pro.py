"""MMLU-Pro: 12,032 test questions in 14 subjects, options A to J (arXiv 2406.01574)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import TEST, VALIDATION, Record, records, source_files, unique
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer

# Prompt and decoding are those of the official evaluate_from_local.py and cot_prompt_lib/initial_prompt.txt.
_PREAMBLE = (
    "The following are multiple choice questions (with answers) about {subject}. Think step by step and then finish"
    ' your answer with "the answer is (X)" where X is the correct letter choice.\n\n\n\n'
)
_COT = "Let's think step by step."
_PADDING = "N/A"
"""Padding at the end of the list of options in older revisions of the data."""

LETTERS = "ABCDEFGHIJ"
"""The names of options in the official prompt and scorer."""

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


# The third rule reads the pronoun I and the article A as letters, and the first two read the beginning of a word. Their
# scores stay comparable with published ones, but the rule says so. These words follow the name of an option:
_AFTER_OPTION = "and are as because but by due for from if in is on or since that was which with"
_AFTER_LETTER = {
    "I": frozenset(_AFTER_OPTION.split()),
    "A": frozenset(f"{_AFTER_OPTION} can could does has may might must should to will would".split()),
}
_NEXT_WORD = re.compile(r"[ \t\n]+([a-z]+)")


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
        return unique(path, map(self.query, rows))

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

        The rule says how the letter was found. It ends with "of a word" if the letter is the pronoun I, the article A
        or the beginning of a word, and with "not an option" if the query has fewer options. The official script counts
        such letters as well. If it would pick a random letter, there is no answer (rule "none"), and the score is 0.
        Takes time linear in the length of the text.
        """
        for rule, needed, pattern in _RULES:
            if needed in text and (found := pattern.search(text)):
                letter = found[1]
                if _is_of_a_word(text, letter, found.end(1), rule):
                    rule = f"{rule}, of a word"
                elif query.choices and letter not in LETTERS[: len(query.choices)]:
                    rule = f"{rule}, not an option"
                return ScoredAnswer(float(letter == query.answer), letter, rule)
        return NO_ANSWER

    def query(self, row: Record) -> Query:
        """A row as the data set publishes it. Raises InputError."""
        choices = _options(row)
        return Query(
            key=row.text("question_id"),
            subject=row.one_of("category", self.subjects),
            text=row.text("question"),
            choices=choices,
            answer=row.one_of("answer", LETTERS[: len(choices)]),
            source=row.optional("src").partition("-")[0] or None,
        )


def _is_of_a_word(text: str, letter: str, end: int, rule: str) -> bool:
    """Whether the letter that ends at `end` is a word of the sentence or the beginning of one."""
    after = text[end : end + 2]
    if after[:1].isalpha():
        return True
    if letter == "I" and after[:1] in ("'", "\u2019") and after[1:].isalpha():  # I'm
        return True
    if letter not in _AFTER_LETTER or (letter == "A" and rule != "last letter"):  # "the answer is A according to ..."
        return False
    word = _NEXT_WORD.match(text, end, end + 20)
    return word is not None and word[1] not in _AFTER_LETTER[letter]


def _options(row: Record) -> tuple[str, ...]:
    """The options without the padding at the end. In the middle it is an option: the letters after it must stay."""
    options = list(row.texts("options"))
    while options and options[-1] == _PADDING:
        options.pop()
    return tuple(options)


def _question_block(question: str, options: tuple[str, ...]) -> str:
    listed = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False))
    return f"Question:\n{question}\nOptions:\n{listed}"


def _shot(row: Record) -> str:
    worked = row.text("cot_content").replace(f"A: {_COT}", f"Answer: {_COT}")
    return f"{_question_block(row.text('question'), _options(row))}{worked}\n\n"
