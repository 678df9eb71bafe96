"""Scores read with their responses, and replaced."""

from __future__ import annotations

import pytest

from benchcoe_jobs.domain import ScoredAnswer
from benchcoe_jobs.store.results import catalog, experts, repairs, rescoring, responses
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.rescoring import Change
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store


@pytest.fixture
def scored(filled: Store) -> tuple[Store, int, int, StoredQuery]:
    """A store in which expert a has a scored response: with its expert id, its run id and the query."""
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        expert_id, query = experts.find_expert(connection, "a"), catalog.stored_queries(connection, benchmark_id)["q1"]
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"run": 9})
        score = NewScore(query.id, query.stratum_id, 0.0, "A", "letter", "Answer: A")
        responses.write_scores(connection, expert_id, run_id, [score])
    return filled, expert_id, run_id, query


def change(expert_id: int, run_id: int, query: StoredQuery, score: float, answer: str) -> Change:
    return Change(expert_id, query.id, query.stratum_id, run_id, 0.0, ScoredAnswer(score, answer, "last line"))


def test_only_scores_computed_here_are_scored_again(scored: tuple[Store, int, int, StoredQuery]) -> None:
    store, expert_id, run_id, query = scored
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        assert rescoring.runs(connection, benchmark_id)[-1] == run_id
        [row] = rescoring.scored(connection, run_id, [query.id])
        imported = [
            row
            for run in rescoring.runs(connection, benchmark_id)[:-1]
            for row in rescoring.scored(connection, run, range(100))
        ]
    assert (row.expert_id, row.text, row.value, row.answer, row.rule) == (expert_id, "Answer: A", 0.0, "A", "letter")
    assert imported == []


def test_a_change_of_the_extraction_alone_counts_no_score(scored: tuple[Store, int, int, StoredQuery]) -> None:
    store, expert_id, run_id, query = scored
    with store.writing() as connection:
        assert rescoring.apply(connection, [change(expert_id, run_id, query, 0.0, "D")]) == 0
        [row] = rescoring.scored(connection, run_id, [query.id])
        assert (row.value, row.answer, row.rule) == (0.0, "D", "last line")
        assert rescoring.apply(connection, [change(expert_id, run_id, query, 1.0, "B")]) == 1
        [row] = rescoring.scored(connection, run_id, [query.id])
        assert (row.value, row.answer) == (1.0, "B")
        assert repairs.has_extractions(connection, expert_id, catalog.find_benchmark(connection, None)[0])


def test_a_score_that_another_run_replaced_is_not_changed(scored: tuple[Store, int, int, StoredQuery]) -> None:
    store, expert_id, run_id, query = scored
    with store.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        other = responses.ensure_run(connection, expert_id, benchmark_id, {"run": 10})
        responses.write_scores(connection, expert_id, other, [NewScore(query.id, query.stratum_id, 0.5)])
        assert rescoring.scored(connection, run_id, [query.id]) == []
        rescoring.apply(connection, [change(expert_id, run_id, query, 1.0, "B")])
        assert responses.mean_score(connection, other) == 0.5
