"""Runs, responses, scores, and errors in the place of responses."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from benchcoe_jobs.store.results import catalog, experts, responses
from benchcoe_jobs.store.results.responses import ErrorRow, NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Extraction, Response, Score


def test_the_same_provenance_is_one_run(filled: Store) -> None:
    with filled.writing() as connection:
        expert_id, benchmark_id = experts.find_expert(connection, "a"), catalog.find_benchmark(connection, None)[0]
        first = responses.ensure_run(connection, expert_id, benchmark_id, {"x": 1, "y": 2})
        assert responses.ensure_run(connection, expert_id, benchmark_id, {"y": 2, "x": 1}) == first
        other = responses.ensure_run(connection, expert_id, benchmark_id, {"x": 2, "y": 2})
        assert other != first
        newest, *_ = responses.runs_of(connection, expert_id, benchmark_id)
    assert newest == (other, {"x": 2, "y": 2})


def test_a_score_of_another_run_replaces_the_score_but_no_response(filled: Store) -> None:
    with filled.writing() as connection:
        expert_id, benchmark_id = experts.find_expert(connection, "a"), catalog.find_benchmark(connection, None)[0]
        query = catalog.stored_queries(connection, benchmark_id)["q1"]
        runs = [responses.ensure_run(connection, expert_id, benchmark_id, {"run": n}) for n in range(2)]
        for run_id, value, text in zip(runs, (0.0, 1.0), ("first\0", "second\ud800"), strict=True):
            score = NewScore(query.id, query.stratum_id, value, "B", "letter", text, 3, 4, 0.5, claimed="C")
            responses.write_scores(connection, expert_id, run_id, [score])
        assert responses.scored_by(connection, expert_id, benchmark_id)[query.id] == runs[1]
        assert [responses.mean_score(connection, run_id) for run_id in runs] == [None, 1.0]
        of_query = (Score.expert_id == expert_id) & (Score.query_id == query.id)
        assert connection.scalars(select(Score.value).where(of_query)).all() == [1.0]
        texts = connection.scalars(
            select(Response.text).where(Response.run_id.in_(runs)).order_by(Response.run_id)
        ).all()
        [extraction] = connection.execute(select(Extraction.answer, Extraction.rule, Extraction.claimed))
        assert [responses.rule_counts(connection, run_id) for run_id in runs] == [{}, {"letter": 1}]
        for run_id in runs:
            assert responses.values(connection, run_id)[query.id] == 1.0, "whichever run the score is from"
    assert texts == ["first\N{REPLACEMENT CHARACTER}", "second?"]
    assert tuple(extraction) == ("B", "letter", "C")


def test_errors_are_forgotten_before_a_retry_and_responses_are_not(filled: Store) -> None:
    with filled.writing() as connection:
        expert_id, benchmark_id = experts.find_expert(connection, "a"), catalog.find_benchmark(connection, None)[0]
        stored = catalog.stored_queries(connection, benchmark_id)
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"run": 1})
        good, bad = stored["q1"], stored["q2"]
        score = NewScore(good.id, good.stratum_id, 1.0, text="yes", latency_s=2.0)
        responses.write_scores(connection, expert_id, run_id, [score])
        responses.write_errors(connection, run_id, [ErrorRow(bad.id, "refused", 4.0)])
        assert responses.answered(connection, run_id) == {good.id: True, bad.id: False}
        assert responses.answered(connection, run_id, [bad.id]) == {bad.id: False}
        assert responses.mean_latency_s(connection, run_id) == pytest.approx(3.0)
        responses.forget_errors(connection, run_id, [good.id, bad.id])
        assert responses.answered(connection, run_id) == {good.id: True}


@pytest.mark.parametrize(
    ("text", "stored"), [("plain", "plain"), ("é\0", "é\N{REPLACEMENT CHARACTER}"), ("\udcff!", "?!")]
)
def test_storable(text: str, stored: str) -> None:
    assert responses.storable(text) == stored


def test_an_imported_score_alone_has_no_response() -> None:
    assert not NewScore(1, 1, 0.5).has_response
    assert NewScore(1, 1, 0.5, prompt_tokens=0).has_response
