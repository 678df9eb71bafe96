"""Importer and scorer on the real result archives: counts, rules, and agreement with the `pred` of the files.

The files were scored by different versions of the official script:

| script | rules                                                          | if they find nothing |
|--------|----------------------------------------------------------------|----------------------|
| first  | "answer is"                                                    | null                 |
| older  | all three, but the last takes any last capital, as in "Dec"    | null                 |
| three  | all three                                                      | null                 |
| guess  | all three                                                      | a constant 'G'       |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.domain import Result, SkippedRow
from benchcoe_jobs.importers.published.mmlu_pro import read

RULES = ("answer is", "answer:", "last letter", "none")

# name: (records, skipped rows, responses per rule, script, correct answers)
GOLDEN: dict[str, tuple[int, int, tuple[int, int, int, int], str, int]] = {
    "DeepSeek-Coder-V2": (10394, 43, (8792, 0, 1496, 63), "older", 6622),
    "Meta-Llama-3-8B": (12032, 0, (10742, 0, 349, 941), "first", 4142),
    "Meta-Llama-3_1-8B-Instruct": (12032, 0, (10984, 0, 354, 694), "guess", 5244),
    "Mistral-7B-Instruct-v0.2": (12032, 0, (9795, 2, 1169, 1066), "first", 3631),
    "Mixtral-8x7B-Instruct-v0.1": (12032, 0, (10606, 0, 644, 782), "first", 5114),
    "Phi-3-mini-4k-instruct": (12032, 0, (10177, 15, 928, 912), "first", 5130),
    "Qwen1.5-7B-Chat": (12032, 0, (9223, 256, 1937, 616), "first", 3652),
    "Yi-6b-Chat": (12032, 0, (9755, 1, 982, 1294), "first", 3339),
    "c4ai-command-r-v01": (12032, 0, (10537, 10, 918, 567), "first", 4598),
    "gemini-1.5-flash-002": (12012, 0, (11545, 0, 396, 71), "three", 7699),
    "gemma-7b": (12032, 0, (10450, 0, 449, 1133), "first", 3945),
    "mathstral-7B": (12032, 0, (11707, 0, 82, 243), "guess", 5024),
}


@dataclass(frozen=True)
class Reading:
    """A summary of one archive: twelve summaries fit into memory, the rows do not."""

    lines: list[int]
    skipped: list[SkippedRow]
    rules: Counter[str]
    of_words: Counter[str]
    right_of_words: float
    correct: float
    unexplained: list[str]
    hashes: dict[str, str]


def official_rule(rule: str) -> str:
    """The rule without our remark about the letter."""
    return rule.partition(",")[0]


@cache
def reading(path: Path, script: str) -> Reading:
    rows = list(read(path))
    results = [row for row in rows if isinstance(row, Result)]
    scored = [(row, MmluPro().score(row.text or "", row.query)) for row in results]
    return Reading(
        lines=[row.line for row in rows],
        skipped=[row for row in rows if isinstance(row, SkippedRow)],
        rules=Counter(official_rule(scored_answer.rule) for _, scored_answer in scored),
        of_words=Counter(scored_answer.rule for _, scored_answer in scored if "word" in scored_answer.rule),
        right_of_words=sum(scored_answer.score for _, scored_answer in scored if "word" in scored_answer.rule),
        correct=sum(scored_answer.score for _, scored_answer in scored),
        unexplained=[
            row.query.key
            for row, scored_answer in scored
            if row.claimed != claim(script, row.text or "", official_rule(scored_answer.rule), scored_answer.extracted)
        ],
        hashes={row.query.key: row.query.content_hash for row in results},
    )


def claim(script: str, text: str, rule: str, extracted: str | None) -> str | None:
    """The answer that a version of the official script extracts; see the table above."""
    if rule == "answer is":
        return extracted
    if script == "first":
        return None
    if script == "older" and rule != "answer:":
        last_capital = re.search(r"[A-J](?=[^A-J]*\Z)", text)
        return last_capital[0] if last_capital else None
    return "G" if script == "guess" and extracted is None else extracted


class Readings(Mapping[str, Reading]):
    """The reading of each file by the name of its expert. A file is read when it is first asked for."""

    def __init__(self, files: list[Path]) -> None:
        self._files = {path.stem.removeprefix("model_outputs_").removesuffix("_5shots"): path for path in files}

    def __getitem__(self, name: str) -> Reading:
        return reading(self._files[name], GOLDEN[name][3])

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


@pytest.fixture
def readings(mmlu_pro_files: list[Path]) -> Mapping[str, Reading]:
    found = Readings(mmlu_pro_files)
    assert found.keys() == GOLDEN.keys()
    return found


@pytest.mark.parametrize("name", GOLDEN)
def test_real_file(readings: Mapping[str, Reading], name: str) -> None:
    found = readings[name]
    records, skipped, rules, _, correct = GOLDEN[name]
    assert (len(found.lines), len(found.skipped)) == (records, skipped)
    assert found.lines == list(range(1, records + 1))
    assert tuple(found.rules[rule] for rule in RULES) == rules
    assert found.correct == correct
    assert found.unexplained == []


# Letters that are the pronoun I, the article A or the beginning of a word, by rule, and how many count as right.
OF_WORDS = {
    "gemini-1.5-flash-002": ({"last letter, of a word": 347, "answer is, of a word": 6}, 28),
    "c4ai-command-r-v01": ({"last letter, of a word": 7, "answer is, of a word": 32}, 8),
}


@pytest.mark.parametrize("name", OF_WORDS)
def test_letters_of_words_are_counted_apart(readings: Mapping[str, Reading], name: str) -> None:
    assert (readings[name].of_words, readings[name].right_of_words) == OF_WORDS[name]


def test_the_skipped_rows_of_the_real_files(readings: Mapping[str, Reading]) -> None:
    assert {row.reason for found in readings.values() for row in found.skipped} == {"a stray string, not a row"}


def test_48_questions_have_two_contents_in_the_files(readings: Mapping[str, Reading]) -> None:
    """The reason for the content hash: a key does not always mean the same question."""
    contents: dict[str, set[str]] = {}
    for found in readings.values():
        for key, content_hash in found.hashes.items():
            contents.setdefault(key, set()).add(content_hash)
    assert Counter(map(len, contents.values())) == {1: 11_984, 2: 48}
