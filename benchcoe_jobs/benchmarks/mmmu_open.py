"""Scoring of MMMU's open answers as in github.com/MMMU-Benchmark/MMMU, eval/eval_utils.py, in linear time.

A response is correct if a correct answer is contained in one of its key phrases as text, or is one of the numbers in
them after rounding to two decimals. Key phrases are the ends of lines after words that announce an answer, or the
whole response if there are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from benchcoe_jobs.benchmarks.base import NO_ANSWER
from benchcoe_jobs.domain import ScoredAnswer

_ANNOUNCING = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_PUNCTUATION = frozenset(":,.!?;'")
_EXTRACT_LENGTH = 200
"""The maximal length of an extracted answer in characters: a phrase may be the whole response."""

# The official expressions, changed to take linear time. Backtracking into a run of digits never leads to a match (the
# next character is then a digit, which no alternative allows), so runs are possessive. A match that fails from the
# first digit of a run fails from the others too, so a number does not begin inside a run.
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?(?<!\d)\d++(?:\.\d++)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\.\d++|(?<!\d)(?:\d++\.\d++|\d++\b))(?![eE][+-]?\d)(?![,\d])"),
)


def score_open(text: str, answers: Sequence[str]) -> ScoredAnswer:
    """Score an open answer against the correct ones, of which one must match.

    The rule is "number" or "phrase" if one matches, "unmatched" if none does, and "none" if the response is empty.
    """
    if not text.strip():
        return NO_ANSWER
    phrases = _key_phrases(text)
    wanted = [form for answer in answers if answer.strip() for form in normalised(answer)]
    numbers = {form for form in wanted if isinstance(form, float)}
    texts = [form for form in wanted if isinstance(form, str)]
    for candidate in _candidates(phrases):
        for form in normalised(candidate):
            if isinstance(form, float):
                if form in numbers:
                    return ScoredAnswer(1.0, _short(candidate), "number")
            elif any(correct in form for correct in texts):
                return ScoredAnswer(1.0, _short(candidate), "phrase")
    return ScoredAnswer(0.0, _short(phrases[-1]), "unmatched")


def normalised(text: str) -> tuple[float] | tuple[str, ...]:
    """A number rounded to two decimals, or the text in lower case.

    A single character gets a blank on either side, so that it does not match inside words.
    """
    text = text.strip()
    try:
        return (round(float(text.replace(",", "")), 2),)
    except ValueError:
        text = text.lower()
    return (f" {text}", f"{text} ") if len(text) == 1 else (text,)


def numbers_in(text: str) -> Iterator[str]:
    """The numbers in a text, as they are written: with commas, in scientific notation, plain."""
    for pattern in _NUMBERS:
        yield from pattern.findall(text)


def _candidates(phrases: Sequence[str]) -> Iterator[str]:
    yield from phrases
    for phrase in phrases:
        yield from numbers_in(phrase)


def _key_phrases(text: str) -> list[str]:
    # The official script also splits at ". " before a capital, but the text is in lower case at that point.
    text = text.strip().strip(".").lower()
    *lines, last = text.split("\n")
    ends = [_shortest_end(line, _ANNOUNCING) for line in lines]
    ends.append(_shortest_end(last, (*_ANNOUNCING, "=")))
    return [end for end in ends if end and end not in _PUNCTUATION] or [text]


def _shortest_end(line: str, announcing: Sequence[str]) -> str:
    """The shortest end of the line after the last occurrence of an announcing word; "" if there is none.

    An empty end is replaced by the next, even if that is longer: the official script treats it as none.
    """
    shortest = ""
    for word in announcing:
        _, found, end = line.rpartition(word)
        end = end.strip()
        if found and (not shortest or len(end) < len(shortest)):
            shortest = end
    return shortest


def _short(phrase: str) -> str:
    return phrase if len(phrase) <= _EXTRACT_LENGTH else f"{phrase[: _EXTRACT_LENGTH - 1]}…"
