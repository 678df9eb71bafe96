"""Odd questions and answers: each gets a response or an error row, and the other queries are answered."""

from __future__ import annotations

from pathlib import Path

import tiny_quiz
from sqlalchemy import select

from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.domain import JobState, Query
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import QueryContent, Response, Score

PICTURE = Query("1", "Art", "What is <image 1>?", ("a", "b"), "A", images=(b"\x89PNG and no more",))


def test_odd_answers_leave_the_rest_of_the_run_as_it_is(store: Store, tmp_path: Path, idefics: Path) -> None:
    """An empty answer, one of a megabyte, a prompt beyond the context, a picture that is none; and 16 others.

    One database is enough for the real model; the light one answers to any prompt and picture.
    """
    n_errors = 2 if store.is_sqlite else 0
    add_benchmark(
        store, "quiz", tiny_quiz.write_quiz(tmp_path / "quiz", 19, odd=("NOTHING", "MEGABYTE", tiny_quiz.LONG))
    )
    with store.writing() as connection:
        catalog.add_queries(connection, catalog.ensure_benchmark(connection, "mmmu"), [PICTURE])
        experts.add_expert(
            connection, ExpertRow("seer", "logged", str(idefics) if store.is_sqlite else tiny_quiz.LIGHT)
        )
        job_id, _ = submit(connection, "profile", profile_request("seer"))
    job = InlineDispatcher(store, Settings()).follow(job_id, lambda _: None)
    assert (job.state, (job.report or {})["loads"]) == (JobState.PARTIAL if n_errors else JobState.DONE, 1)
    counts = [(of["answered"], of["errors"]) for of in (job.report or {})["benchmarks"]]
    assert [sum(column) for column in zip(*counts, strict=True)] == [20 - n_errors, n_errors]
    with store.reading() as connection:
        rows = connection.execute(
            select(QueryContent.text, Response.text, Response.error, Score.value)
            .join(Response, Response.query_id == QueryContent.query_id)
            .outerjoin(Score, Score.query_id == QueryContent.query_id)
        ).all()
    found = {(question.split() or [""])[0]: rest for question, *rest in rows}
    assert found["NOTHING"] == ["", None, 0.0]
    text, error, score = found["MEGABYTE"]
    assert (text, error) == (tiny_quiz.ODD["MEGABYTE"], None)
    assert score in (0.0, 1.0)
    if n_errors:
        assert found["LONG"][0] is None
        assert "context too long" in found["LONG"][1]
        assert "cannot be decoded" in found["What"][1]
    assert len(rows) == 20
    assert sum(error is not None for _, _, error, _ in rows) == n_errors
    assert all("\n" not in error for _, _, error, _ in rows if error)
