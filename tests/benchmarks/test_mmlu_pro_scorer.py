"""The scorer compared with the official regular expressions, which take quadratic time."""

from __future__ import annotations

import itertools
import re

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks.base import Benchmark
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.domain import Query, ScoredAnswer

QUERY = Query(key="1", subject="math", text="Which?", choices=tuple("ABCD"), answer="B")
PIECES = ["answer is ", "Answer:", "answer:", "nswer", ":", "(", ")", "A", "B", "J", "K", "a", "_", "é", " "]
BREAKS = ["\n", "\r", "\t", "\v", "\u2028", "\u00a0", "\x85"]


def official(text: str) -> tuple[str | None, str]:
    """extract_answer, extract_again and extract_final of compute_accuracy.py, verbatim."""
    if match := re.search(r"answer is \(?([A-J])\)?", text):
        return match.group(1), "answer is"
    if match := re.search(r".*[aA]nswer:\s*([A-J])", text):
        return match.group(1), "answer:"
    if match := re.search(r"\b[A-J]\b(?!.*\b[A-J]\b)", text, re.DOTALL):
        return match.group(0), "last letter"
    return None, "none"


def ours(text: str) -> tuple[str | None, str]:
    scored = MmluPro().score(text, QUERY)
    return scored.extracted, scored.rule.partition(",")[0]


def test_all_short_texts_of_such_pieces_are_scored_as_officially() -> None:
    pieces = ["Answer:", "answer: ", "\n", " ", "A", "b", "answer is "]
    for length in range(6):
        for chosen in itertools.product(pieces, repeat=length):
            text = "".join(chosen)
            assert ours(text) == official(text), repr(text)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.sampled_from(PIECES + BREAKS), max_size=14).map("".join))
def test_longer_texts_of_pieces_are_scored_as_officially(text: str) -> None:
    assert ours(text) == official(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_scored_as_officially(text: str) -> None:
    assert ours(text) == official(text)


@pytest.mark.parametrize(
    ("text", "scored_answer"),
    [
        ("So the answer is (B).", ScoredAnswer(1.0, "B", "answer is")),
        ("The answer is A, no, the answer is B", ScoredAnswer(0.0, "A", "answer is")),
        ("Answer: A, answer: B\nanswer: C", ScoredAnswer(1.0, "B", "answer:")),
        ("answer: Answer: B", ScoredAnswer(1.0, "B", "answer:")),
        ("answer:\n\n B", ScoredAnswer(1.0, "B", "answer:")),
        ("Either C\nor B", ScoredAnswer(1.0, "B", "last letter")),
        ("BAD CAB", ScoredAnswer(0.0, None, "none")),
        ("", ScoredAnswer(0.0, None, "none")),
        ("\ud800\0", ScoredAnswer(0.0, None, "none")),
    ],
)
def test_rule_and_letter(text: str, scored_answer: ScoredAnswer) -> None:
    assert MmluPro().score(text, QUERY) == scored_answer


TEN = Query(key="1", subject="law", text="Which?", choices=tuple("abcdefghij"), answer="I")


@pytest.mark.parametrize(
    "text",
    [
        "I cannot answer this question.",
        "I'm sorry, but I can't help with that.",
        "I\u2019m not sure",
        "The data do not suffice. I would need the mass.",
        "The answer is I think none of these.",
        "Answer: Because it is cold, none of these.",
        "The answer is (Insufficient information).",
        "The answer is Dependent",
        "A more detailed analysis follows",
        "It is cold. A\nreaction",
    ],
)
def test_a_letter_of_a_word_is_named_as_such(text: str) -> None:
    scored = MmluPro().score(text, TEN)
    assert scored.rule.endswith(", of a word")
    assert scored.extracted == official(text)[0], "the score stays that of the official script"


@pytest.mark.parametrize(
    "text",
    [
        "The answer is I.",
        "The answer is (I)",
        "the answer is I because the others are wrong",
        "So I is correct",
        "Answer: I",
        "option I",
        "the answer is A according to the text",
        "A is correct",
        "A can be excluded",
        "It must be (A).",
        "both A and\nI",
        "C's charge",
        "Vitamin C is needed",
    ],
)
def test_the_name_of_an_option_is_no_word(text: str) -> None:
    assert MmluPro().score(text, TEN).rule in ("answer is", "answer:", "last letter")


def test_a_letter_beyond_the_choices_is_named_as_such() -> None:
    assert MmluPro().score("The answer is (I).", QUERY) == ScoredAnswer(0.0, "I", "answer is, not an option")
    assert MmluPro().score("It is E", QUERY) == ScoredAnswer(0.0, "E", "last letter, not an option")
    assert MmluPro().score("The answer is (I).", TEN) == ScoredAnswer(1.0, "I", "answer is")


def test_no_answer_is_never_correct() -> None:
    unanswered = Query(key="1", subject="math", text="Which?")
    assert MmluPro().score("I do not know", unanswered).score == 0.0


@pytest.mark.parametrize(
    "unit", ["answer: ", "answer: \n", "answer:", "a", " ", "\n", "A ", "A_", "answer is ", "answer is (", "\u2028"]
)
@pytest.mark.parametrize("last", ["", "A", "\nanswer: A", "_A_"])
def test_200_000_characters_do_not_hang(unit: str, last: str) -> None:
    """The official expressions take minutes for some of these texts."""
    text = (unit * 200_000)[:200_000] + last
    assert ours(text)[1] in {"answer is", "answer:", "last letter", "none"}


def test_it_is_registered_under_its_name() -> None:
    benchmark: Benchmark = registry.load("benchmarks", "mmlu-pro")()
    assert benchmark.name == "mmlu-pro"
    assert len(set(benchmark.subjects)) == 14
    assert list(benchmark.subjects) == sorted(benchmark.subjects)
