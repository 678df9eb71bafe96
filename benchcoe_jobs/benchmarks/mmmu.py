"""MMMU: 900 validation questions with images in 30 subjects, 847 with choices and 53 open (arXiv 2311.16502).

Choices are extracted from a response as in github.com/MMMU-Benchmark/MMMU, mmmu-pro/evaluate.py
(`parse_multi_choice_response`), without its random guess. If MMMU's own mmmu/utils/eval_utils.py finds a letter, this
is the same one, unless the response announces another with `Answer:`. For open answers see `mmmu_open`.
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
"""Not "dev", which is a different set here: examples for few-shot prompts."""

_MAX_IMAGES = 7
_MAX_LITERAL = 100_000
"""Longest list in Python syntax, in characters: far longer than any in the data, and harmless to the parser."""

_FEW_WORDS = 5
"""In a response of at most this number of words, the text of an option is not searched for."""

_PUNCTUATION = ",.!?;:'"


class Mmmu:
    """MMMU: zero-shot, with all images of the question. A query without choices is open."""

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
        return unique(path, map(self.query, rows))

    def query(self, row: Record) -> Query:
        """A row as the data set publishes it, with those of its images that it has. Raises InputError."""
        key = row.text("id")
        match = _ID.fullmatch(key)
        if match is None or match[1] not in self.subjects:
            raise row.error(f"id {key!r} names no subject; an example of an id is validation_Math_1")
        is_open = row.one_of("question_type", ("multiple-choice", "open", "short-answer")) != "multiple-choice"
        choices = () if is_open else _listed(row, "options")
        answers = _listed(row, "answer")
        if not answers or (not is_open and (len(answers) > 1 or answers[0] not in tuple(LETTERS[: len(choices)]))):
            raise row.error(f"answer {row.cells.get('answer')!r} is not one of the options")
        images = (row.image(f"image_{number}") for number in range(1, _MAX_IMAGES + 1))
        return Query(
            key=key,
            subject=match[1],
            text=row.text("question"),
            choices=choices,
            answer=answers[0] if len(answers) == 1 else json.dumps(answers, ensure_ascii=False),
            images=tuple(image for image in images if image is not None),
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """Empty: the benchmark is zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """The official prompt (mmmu/utils/data_utils.py with configs/llava1.5.yaml), with all images.

        The text and the options refer to them as <image 1>, <image 2> and so on.
        """
        if not query.choices:
            text = f"{query.text}\nAnswer the question using a single word or phrase."
        else:
            listed = "".join(f"({letter}) {choice}\n" for letter, choice in zip(LETTERS, query.choices, strict=False))
            text = f"{query.text}\n{listed}\nAnswer with the option's letter from the given choices directly."
        return Request(text, images=query.images)

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """A choice by the only letter after `Answer:`, else by `(X)`, else by `X` before a blank, else by `X.`, else by
        the text of an option; an open answer by normalised match.

        Of several matches by the same rule, the last that stands alone counts. The official scripts pick a random
        choice if there is none; here, that is no answer.
        """
        if not query.choices:
            return score_open(text, _answers(query.answer))
        rule, letter = _choice(text, query.choices)
        return NO_ANSWER if letter is None else ScoredAnswer(float(letter == query.answer), letter, rule)


def _choice(text: str, choices: tuple[str, ...]) -> tuple[str, str | None]:
    """The rule that finds a letter, and the letter; None if there is none."""
    letters = LETTERS[: len(choices)]
    _, announced, answer = text.rpartition("Answer:")
    if announced and len(found := [letter for letter in letters if letter in answer]) == 1:
        return "Answer: X", found[0]
    for character in _PUNCTUATION:
        text = text.strip(character)
    text = f" {text} "
    for rule, form, alone in (("(X)", "({})", "({})"), ("X", "{} ", " {} "), ("X.", "{}.", " {} ")):
        if found := [letter for letter in letters if form.format(letter) in text]:
            # Of equal positions the first, as with np.argmax: of several `X.`, none stands alone.
            return rule, max(found, key=lambda letter: text.rfind(alone.format(letter)))
    if len(text.split()) <= _FEW_WORDS:
        return "none", None
    positions = dict(zip(letters, _option_positions(text, choices), strict=False))
    letter = max(positions, key=positions.__getitem__)
    return ("option text", letter) if positions[letter] >= 0 else ("none", None)


def _option_positions(text: str, choices: tuple[str, ...]) -> Iterator[int]:
    """The last position of each option's text, -1 if it does not occur."""
    # rfind() takes quadratic time for long substrings, find() does not: search the reversed text.
    backwards = text.lower()[::-1]
    for choice in choices:
        wanted = choice.lower()[::-1]
        distance = backwards.find(wanted) if wanted.strip() else -1  # an empty option is in every response
        yield len(backwards) - distance - len(wanted) if distance >= 0 else -1


def _listed(row: Record, column: str) -> tuple[str, ...]:
    """A list of texts, a list in Python syntax ("['a', 'b']", as in the files of the hub), or one text."""
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
    """The correct answers to an open question; several are a JSON list in the query's answer."""
    if answer is None:
        return ()
    if answer.startswith('["'):
        try:
            several = json.loads(answer)
        except (ValueError, RecursionError):
            return (answer,)
        return tuple(item for item in several if isinstance(item, str))
    return (answer,)
