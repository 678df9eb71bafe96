"""The contract of a scorer: a score and a rule for any text, in linear time, without guessing."""

from __future__ import annotations

import json

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks.base import NO_SHOTS, Benchmark, stored_text
from benchcoe_jobs.domain import Completion, Query

CHOICES = ("alpha", "beta x", "gamma", "delta")
BUILT_IN = [
    "bbh",
    "hellaswag",
    "hellaswag-generative",
    "mmlu-pro",
    "mmmu",
    "mmstar",
    "scienceqa",
    "winogrande",
    "winogrande-generative",
]
QUERIES = {
    "choice": Query(key="1", subject="math", text="Is it _ ?", choices=CHOICES, answer="B"),
    "blank": Query(key="1", subject="math", text="Is it _ ?", choices=("alpha", "beta"), answer="1"),
    "open": Query(key="1", subject="math", text="How many?", answer='["1,234.5", "x"]'),
    "unanswered": Query(key="1", subject="math", text=""),
    "odd": Query(key="1", subject="", text="", choices=("", " ", ""), answer=""),
}
PHRASES = [
    "answer is ",
    "the answer is ",
    "The answer is ",
    "Answer: ",
    "(A)",
    " B ",
    "A",
    "b",
    ". ",
    ".",
    "=",
    "so ",
    "\n",
]
DIGITS = [
    "1",
    "23",
    ",",
    "-",
    "e",
    "E+",
    "1,234",
    ".5",
    "٣",
    "²",
    "İ",
    "\x1c",
    "\u2028",
    "_",
    "[",
    "]",
    "NaN",
    "Infinity",
    " ",
]


def load(name: str) -> Benchmark:
    benchmark: Benchmark = registry.load("benchmarks", name)()
    return benchmark


def check(benchmark: Benchmark, text: str, query: Query) -> None:
    scored = benchmark.score(text, query)
    assert scored.score in {0.0, 1.0}
    assert scored.rule
    assert (scored.rule == "none") <= (scored.score == 0.0 and scored.extracted is None)
    assert query.answer or not scored.score


@pytest.mark.parametrize("kind", QUERIES)
@pytest.mark.parametrize("name", BUILT_IN)
@settings(max_examples=examples(25), deadline=None)
@given(text=st.text(max_size=60) | st.lists(st.sampled_from(PHRASES + DIGITS), max_size=20).map("".join))
def test_no_text_makes_a_scorer_raise(name: str, kind: str, text: str) -> None:
    check(load(name), text, QUERIES[kind])


@pytest.mark.parametrize("name", ["hellaswag", "winogrande"])
@settings(max_examples=examples(100), deadline=None)
@given(
    values=st.lists(st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=2), max_size=5),
    kind=st.sampled_from(["choice", "blank", "odd"]),
)
def test_no_log_likelihoods_make_a_scorer_raise(name: str, values: list[object], kind: str) -> None:
    check(load(name), json.dumps(values), QUERIES[kind])


UNITS = [
    *PHRASES,
    *DIGITS,
    "a",
    "{",
    '"',
    "1,",
    "1.",
    ",111",
    "1e1",
    "-1",
    "so is answer ",
    "so \n",
    "(A) ",
    "option A",
    "[1,",
    "alph",
    "The answer is A. ",
]


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("unit", UNITS)
def test_200_000_characters_do_not_hang(name: str, unit: str) -> None:
    """Quadratic time would be minutes."""
    for kind in ("choice", "open"):
        check(load(name), (unit * 200_000)[:200_000], QUERIES[kind])
        check(load(name), (unit * 200_000)[:200_000] + "x e", QUERIES[kind])


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_empty_response_is_no_answer(name: str) -> None:
    for query in QUERIES.values():
        for text in ("", " ", "\n"):
            assert load(name).score(text, query).rule == "none"
            assert load(name).score(text, query).score == 0.0


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_is_registered_under_its_name(name: str) -> None:
    benchmark = load(name)
    assert benchmark.name == name
    assert benchmark.template
    assert list(benchmark.subjects) == sorted(set(benchmark.subjects))
    assert benchmark.request(QUERIES["choice"], NO_SHOTS).prompt(0)


def test_nothing_else_is_built_in() -> None:
    assert set(registry.names("benchmarks")) >= set(BUILT_IN)


def test_log_likelihoods_are_stored_exactly() -> None:
    values = (-0.1, -1e-300, float("-inf"), -123.456789012345678)
    assert tuple(json.loads(stored_text(Completion(loglikelihoods=values)))) == values
    assert stored_text(Completion(text="the answer is B")) == "the answer is B"
