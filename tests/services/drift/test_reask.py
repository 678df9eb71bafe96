"""When two answers are the same, and which questions are asked again."""

from __future__ import annotations

import pytest

from benchcoe_jobs.benchmarks.skills import Skills
from benchcoe_jobs.domain import Query
from benchcoe_jobs.services.drift.reask import StoredAnswers, agrees
from benchcoe_jobs.services.inference.plan import PromptPlan
from benchcoe_jobs.store.results.joins import QueryRef

QUERY = Query("q", "units", "How many?", answer="5")


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [("5", "5", True), ("5", "5 \nbecause", True), ("5", "6", False), ("", "", True), ("", "6", False)],
)
def test_answers_are_compared_by_what_is_extracted(before: str, now: str, same: bool) -> None:
    assert agrees(Skills(), QUERY, before, now) is same


def test_a_sample_is_of_answered_queries_and_depends_on_the_seed() -> None:
    queries = [QueryRef(number, str(number), "units", "train", 1) for number in range(50)]
    known = StoredAnswers(PromptPlan(1, Skills(), {}, queries, {}), 1, dict.fromkeys(range(40), ""))
    first = known.sample(20, seed=1)
    assert first == known.sample(20, seed=1) != known.sample(20, seed=2)
    assert {query.id for query in known.sample(99, seed=1)} == set(range(40))
