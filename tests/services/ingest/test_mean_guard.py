"""The rows of a file are held against the means that it states."""

from __future__ import annotations

import pytest

from benchcoe_jobs.domain import Query, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import TaskMean
from benchcoe_jobs.services.ingest.mean_guard import MeanGuard


def guard(*scores: float, skipped: int = 0) -> MeanGuard:
    made = MeanGuard("results.jsonl")
    for n, score in enumerate(scores):
        query = Query(key=str(n), subject="law", text=f"{n}?")
        made.add(Result(n, "toy", query, expert="ann", score=None, file_score=score, task="law"))
    for _ in range(skipped):
        made.add_skipped()
    return made


def check(made: MeanGuard, value: float, n: int | None = None) -> list[str]:
    made.add_mean(TaskMean("ann", "law", value, "summary.json, law, acc", n=n))
    return made.check()


def test_the_same_mean_passes_and_another_is_refused_with_both_figures() -> None:
    assert check(guard(1, 0, 0), 0.3333) == []
    with pytest.raises(
        InputError, match=r"of law have a mean of 0\.3333 over 3 rows, but summary\.json, law, acc is 0\.5"
    ):
        check(guard(1, 0, 0), 0.5)


def test_the_score_of_the_file_is_compared_and_not_that_of_the_scorer() -> None:
    made = MeanGuard("results.jsonl")
    made.add(Result(1, "toy", Query("1", "law", "?"), expert="ann", score=0.25, file_score=1.0, task="law"))
    assert check(made, 1.0) == []


@pytest.mark.parametrize(("value", "possible"), [(0.25, True), (0.75, True), (0.2, False), (0.8, False)])
def test_with_unreadable_rows_the_mean_must_be_possible(value: float, possible: bool) -> None:
    made = guard(1, 0, skipped=2)  # two of four are known: 1 to 3 of them are right
    if possible:
        assert check(made, value) == []
    else:
        with pytest.raises(InputError, match="nothing was imported"):
            check(made, value)


def test_a_part_of_a_file_is_reported() -> None:
    assert check(guard(1, 0), 0.4, n=5_000) == [
        "law: 2 of 5,000 rows are there, with a mean of 0.5; summary.json, law, acc has 0.4 for all"
    ]
    with pytest.raises(InputError, match="nothing was imported"):
        check(guard(1, 1, 1), 0.1, n=4)


def test_more_rows_than_stated_are_two_runs() -> None:
    with pytest.raises(InputError, match=r"4 rows of law were read, but summary\.json, law, acc is over 2"):
        check(guard(1, 0, 1, 0), 0.5, n=2)


def test_a_mean_without_rows_says_nothing() -> None:
    assert check(guard(), 0.9, n=10) == []
