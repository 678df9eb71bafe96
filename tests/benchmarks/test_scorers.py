"""The rules of each scorer on made-up responses, and its expressions compared with the official ones."""

from __future__ import annotations

import json
import re

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.benchmarks.generative import HellaSwagGenerative, WinoGrandeGenerative
from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.benchmarks.mmmu_open import normalised, numbers_in
from benchcoe_jobs.benchmarks.mmstar import MmStar
from benchcoe_jobs.benchmarks.scienceqa import ScienceQA
from benchcoe_jobs.benchmarks.winogrande import WinoGrande
from benchcoe_jobs.domain import Query, ScoredAnswer

CHOICES = ("alpha", "beta x", "be", "Al")
CHOICE = Query("1", "Math", "Which?", choices=CHOICES, answer="B")


def opened(*answers: str) -> Query:
    return Query("1", "Math", "How many?", answer=answers[0] if len(answers) == 1 else json.dumps(answers))


@pytest.mark.parametrize(
    ("text", "answer", "scored_answer"),
    [
        ("So the answer is (B).", "(B)", ScoredAnswer(1.0, "(B)", "the answer is")),
        ("So the answer is ] ).", "] )", ScoredAnswer(1.0, "] )", "the answer is")),
        ("the answer is 3.5", "3.5", ScoredAnswer(1.0, "3.5", "the answer is")),
        ("the answer is no.\n\nQ: b?\nSo the answer is yes.", "no", ScoredAnswer(1.0, "no", "the answer is")),
        ("the answer is no..", "no", ScoredAnswer(0.0, "no.", "the answer is")),
        ("The answer is B.", "B", ScoredAnswer(0.0, None, "none")),
        ("the answer is .", "", ScoredAnswer(0.0, None, "none")),
        (" (B)\n", "(B)", ScoredAnswer(1.0, "(B)", "whole answer")),
        ("apple pear", "apple pear", ScoredAnswer(1.0, "apple pear", "whole answer")),
        ("No", "Yes", ScoredAnswer(0.0, "No", "whole answer")),
        ("No.", "No", ScoredAnswer(0.0, "No.", "whole answer")),
        ("Let us see.\n(B)", "(B)", ScoredAnswer(0.0, None, "none")),
        ("x" * 501, "x" * 501, ScoredAnswer(0.0, None, "none")),
        (" ", "", ScoredAnswer(0.0, None, "none")),
    ],
)
def test_bbh(text: str, answer: str, scored_answer: ScoredAnswer) -> None:
    assert BigBenchHard().score(text, Query("1", "snarks", "?", answer=answer)) == scored_answer


@pytest.mark.parametrize(
    ("text", "extracted", "rule"),
    [
        ("(A) or (B)", "B", "(X)"),
        ("(B) or (A), not C", "A", "(X)"),
        ("A then B", "B", "X"),
        ("B.", "B", "X"),
        ("'B'?!", "B", "X"),
        ("I would say it is Beta X here", "B", "option text"),
        ("it is alpha or maybe beta x , yes", "B", "option text"),
        ("this must be the one I like", "C", "option text"),
        ("beta x", None, "none"),
        ("B, or C", "C", "X"),
        ("none of these five words here", None, "none"),
        ("B. beta x", "B", "X."),
        ("A. beta x\nB. alpha", "A", "X."),
        ("(A) is wrong.\nAnswer: B", "B", "Answer: X"),
        ("Answer: A or B", "B", "X"),
    ],
)
def test_mmmu_choices(text: str, extracted: str | None, rule: str) -> None:
    assert Mmmu().score(text, CHOICE) == ScoredAnswer(float(extracted == "B"), extracted, rule)


def test_mmmu_ignores_an_empty_option() -> None:
    query = Query("1", "Math", "?", choices=(" ", ""), answer="A")
    assert Mmmu().score("a b c d e f g h", query).rule == "none"


@pytest.mark.parametrize(
    ("text", "answers", "scored_answer"),
    [
        ("The result is 1,234.5", ("1234.50",), ScoredAnswer(1.0, "1,234.5", "number")),
        ("24.312", ("24.31",), ScoredAnswer(1.0, "24.312", "number")),
        ("x = 3 = 6", ("6",), ScoredAnswer(1.0, "6", "number")),
        ("x = 3\ny = 6", ("3",), ScoredAnswer(0.0, "6", "unmatched")),
        ("So the capital is Tampa Bay.\nThat is so ", ("Tampa", "Florida"), ScoredAnswer(1.0, "tampa bay.", "phrase")),
        ("a cab", ("b",), ScoredAnswer(0.0, "a cab", "unmatched")),
        ("a b", ("b",), ScoredAnswer(1.0, "a b", "phrase")),
        ("$1000", ("360",), ScoredAnswer(0.0, "$1000", "unmatched")),
        ("x" * 500, ("y",), ScoredAnswer(0.0, "x" * 199 + "…", "unmatched")),
        (" ", ("",), ScoredAnswer(0.0, None, "none")),
        ("anything", ("",), ScoredAnswer(0.0, "anything", "unmatched")),
    ],
)
def test_mmmu_open_answers(text: str, answers: tuple[str, ...], scored_answer: ScoredAnswer) -> None:
    assert Mmmu().score(text, opened(*answers)) == scored_answer


def official_numbers(text: str) -> list[str]:
    """The expressions of extract_numbers in MMMU's eval_utils.py, which take quadratic time."""
    patterns = (
        r"-?\b\d{1,3}(?:,\d{3})+\b",
        r"-?\d+(?:\.\d+)?[eE][+-]?\d+",
        r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])",
    )
    return [number for pattern in patterns for number in re.findall(pattern, text)]


@settings(max_examples=examples(100), deadline=None)
@given(st.text("0123,.eE+- x٣_", max_size=16) | st.text(max_size=16))
def test_mmmu_finds_the_official_numbers(text: str) -> None:
    assert list(numbers_in(text)) == official_numbers(text)


@settings(deadline=None)
@given(st.text(max_size=20) | st.sampled_from(["nan", "-inf", "1e999", "1_0", "9" * 400]))
def test_mmmu_normalises_any_text(text: str) -> None:
    assert normalised(text)


@pytest.mark.parametrize(
    ("text", "extracted", "rule"),
    [
        ("B", "B", "at the start"),
        (" b: two", "B", "at the start"),
        ("(B) two", "B", "("),
        ("Option B", "B", "option"),
        ("The answer is B.", "B", "the answer is"),
        ("the answer\nis B", "B", "the answer is"),
        ("So the answer is B", None, "none"),
        ("Because", "B", "at the start, of a word"),
        ("A or B", "A", "at the start"),
        ("It is B", None, "none"),
        ("E", None, "none"),
        ("option ", None, "none"),
        ("((B", None, "none"),
    ],
)
def test_mmstar(text: str, extracted: str | None, rule: str) -> None:
    query = Query("1", "math", "Which?", answer="B")
    assert MmStar().score(text, query) == ScoredAnswer(float(extracted == "B"), extracted, rule)


def official_mmstar(text: str, answer: str) -> bool:
    """The conditions of mmstar.py; an IndexError there is a wrong answer."""
    start = text.lower().strip().replace("\n", " ")
    leads = ("", "(", "option ", "the answer is ")
    return any(start.startswith(lead) and start[len(lead) : len(lead) + 1] == answer.lower() for lead in leads)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.sampled_from([*"abcDE( \n\t.İ", "option ", "The answer is ", "x"]), max_size=6).map("".join))
def test_mmstar_scores_as_officially(text: str) -> None:
    for answer in "ABCD":
        assert MmStar().score(text, Query("1", "math", "?", answer=answer)).score == official_mmstar(text, answer)


@pytest.mark.parametrize(
    ("text", "extracted", "rule"),
    [
        (" B\n", "B", "letter"),
        ("B. beta", "B", "letter and dot"),
        ("Well. The answer is B. Yes.", "B", "the answer is"),
        ("The answer is B. No: The answer is A.", None, "none"),
        ("Well. The answer is B, because it is blue.", "B", "the answer is"),
        ("The answer is B because it is blue.", "B", "the answer is"),
        ("The answer is B)", "B", "the answer is"),
        ("The answer is B", None, "none"),
        ("The answer is B\nas I said", None, "none"),
        ("The answer is Both.", "B", "the answer is, of a word"),
        ("The answer is E.", None, "none"),
        ("E", None, "none"),
        ("Z", None, "none"),
        ("E. The answer is B.", None, "none"),
        ("F. The answer is B.", "B", "the answer is"),
        ("B.", None, "none"),
        ("b", None, "none"),
        ("(B)", None, "none"),
    ],
)
def test_scienceqa(text: str, extracted: str | None, rule: str) -> None:
    assert ScienceQA().score(text, CHOICE) == ScoredAnswer(float(extracted == "B"), extracted, rule)


def official_scienceqa(text: str, n_choices: int) -> str | None:
    """The letter that counts in eval_science_qa.py, whose get_pred_idx takes none beyond the choices."""
    options = "ABCDE"
    response = text.strip()
    if response in tuple(options):
        letter = response
    elif len(response) >= 3 and response[0] in options and response[1:3] == ". ":
        letter = response[0]
    else:
        found = re.compile(r"The answer is ([A-Z]).").findall(response)
        letter = found[0] if len(found) == 1 else "FAILED"
    return letter if letter in tuple(options[:n_choices]) else None


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(st.sampled_from([*"ABEFZ", ".", " ", "\n", ",", "The answer is ", "x"]), max_size=7).map("".join),
    st.integers(1, 5),
)
def test_scienceqa_scores_as_the_script(text: str, n_choices: int) -> None:
    query = Query("1", "natural science", "?", choices=tuple("vwxyz"[:n_choices]), answer="A")
    assert ScienceQA().score(text, query).extracted == official_scienceqa(text, n_choices)


def test_more_endings_than_letters() -> None:
    query = Query("1", "Baking", "She", choices=tuple(map(str, range(30))), answer="A")
    values = [-9.0] * 26 + [-1.0] + [-9.0] * 3
    assert HellaSwag().score(json.dumps(values), query).score == 0.0, "the 27th ending is not A"


HELLASWAG = Query("1", "Baking", "She", choices=("bakes", "bakes a cake", "is", "no"), answer="B")


@pytest.mark.parametrize(
    ("values", "extracted", "rule"),
    [
        ([-10.0, -12.0, -9.0, -20.0], "B", "per character; by sum C"),
        ([-1.0, -1.2, -0.1, -0.1], None, "per character; by sum none"),
        ([-5.0, -12.0, -1.0, -9.0], "C", "per character; by sum C"),
        ([-5.0, -12.0, float("-inf"), -9.0], None, "per character; by sum A"),
        ([-5.0, -12.0, -2.0, -2.0], None, "per character; by sum none"),
    ],
)
def test_hellaswag(values: list[float], extracted: str | None, rule: str) -> None:
    scored = HellaSwag().score(json.dumps(values), HELLASWAG)
    assert scored == ScoredAnswer(float(extracted == "B"), extracted, rule)


@pytest.mark.parametrize(
    ("text", "extracted", "rule"),
    [
        ("2. bakes a cake", "2", "at the start"),
        (" 2\n", "2", "at the start"),
        ("3, because", "3", "at the start"),
        ("24", "2", "at the start, of a longer number"),
        ("The answer is 2.", "2", "answer is"),
        ("I think the answer is: (4)", "4", "answer is"),
        ("5", None, "none"),
        ("0", None, "none"),
        ("She bakes 2 cakes", None, "none"),
        ("\u0662", None, "none"),
    ],
)
def test_hellaswag_generative(text: str, extracted: str | None, rule: str) -> None:
    assert HellaSwagGenerative().score(text, HELLASWAG) == ScoredAnswer(float(extracted == "2"), extracted, rule)


@pytest.mark.parametrize(
    ("text", "extracted", "rule"),
    [
        ("1 or 2? The answer is 2.", "2", "answer is"),
        ("the answer is (1), not that the answer is 2", "1", "answer is"),
        ("the answer is option 2", "2", "answer is"),
        ("2", "2", "at the start"),
        ("2, so the answer is box", None, "none"),
        ("the answer is 3", None, "none"),
        ("The box.", None, "none"),
    ],
)
def test_winogrande_generative(text: str, extracted: str | None, rule: str) -> None:
    query = Query("1", "coreference", "a _ b", choices=("x", "y"), answer="2")
    assert WinoGrandeGenerative().score(text, query) == ScoredAnswer(float(extracted == "2"), extracted, rule)


@pytest.mark.parametrize(
    "text", ["[-1, -2]", "[]", "{}", "[-1, -2, -3, NaN]", "[-1, -2, -3, true]", "The answer is B."]
)
def test_a_text_without_log_likelihoods_is_no_answer(text: str) -> None:
    assert HellaSwag().score(text, HELLASWAG).rule == "none"


@pytest.mark.parametrize(
    ("values", "extracted"),
    [
        ([-1.0, -9.0, -8.0, -10.0], "2"),  # given the option, the rest costs 8 against 2
        ([-8.0, -10.0, -1.0, -9.0], "1"),
        ([-1.0, -2.0, -3.0, -4.0], None),
        ([float("-inf"), float("-inf"), -3.0, -4.0], None),
        ([-1.0, float("-inf"), -3.0, -4.0], "2"),
    ],
)
def test_winogrande(values: list[float], extracted: str | None) -> None:
    query = Query("1", "coreference", "a _ b", choices=("x", "y"), answer="2")
    rule = "shared suffix" if extracted else "none"
    assert WinoGrande().score(json.dumps(values), query) == ScoredAnswer(float(extracted == "2"), extracted, rule)
