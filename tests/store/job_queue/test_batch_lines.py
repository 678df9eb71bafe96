"""The lines of a submitted file."""

from __future__ import annotations

import pytest

from benchcoe_jobs.store.job_queue import batch_lines, jobs
from benchcoe_jobs.store.job_queue.batch_lines import LineResult
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

URL = "/v1/completions"


def test_lines_from_the_file_to_their_results(filled: Store) -> None:
    with filled.writing() as connection:
        job_id, _ = jobs.open_job(connection, "batch", {"file": 1})
        other, _ = jobs.open_job(connection, "batch", {"file": 2})
        batch_lines.add_lines(connection, job_id, [(n, f"id-{n}", URL, {"prompt": str(n)}) for n in (1, 2, 3)])
        batch_lines.add_lines(connection, other, [(1, "other", URL, {})])
        assert batch_lines.numbers(connection, job_id) == [1, 2, 3]

        ids = experts.expert_ids(connection)
        batch_lines.set_experts(connection, job_id, [(1, ids["a"], "subject"), (3, ids["a"], "tie"), (2, ids["b"], "")])
        assert batch_lines.by_expert(connection, job_id) == {ids["a"]: [1, 3], ids["b"]: [2]}
        assert batch_lines.by_expert(connection, other) == {}

        answer = LineResult(1, "yes\0", None, "stop", 5, 6)
        batch_lines.store_results(connection, job_id, [answer, LineResult(2, None, "refused", "error")])
        batch_lines.store_results(connection, job_id, [])
        first, second, third = batch_lines.lines(connection, job_id)
        [only] = batch_lines.lines(connection, job_id, [3])
        counts = batch_lines.counts(connection, job_id)
    assert (first.custom_id, first.body, first.expert, first.why) == ("id-1", {"prompt": "1"}, "a", "subject")
    assert (first.text, first.error, first.prompt_tokens) == ("yes\N{REPLACEMENT CHARACTER}", None, 5)
    assert (second.text, second.error, second.finish_reason) == (None, "refused", "error")
    assert (third.answered_at, only) == (None, third)
    assert counts == {
        "a": {"lines": 2, "answered": 1, "errors": 0, "prompt_tokens": 5, "completion_tokens": 6},
        "b": {"lines": 1, "answered": 0, "errors": 1, "prompt_tokens": 0, "completion_tokens": 0},
    }


@pytest.mark.parametrize("content", ["NUL \0 inside", "lone \ud800 surrogate", "a pair \U0001f600", 'quotes " and \\'])
def test_a_body_is_returned_as_it_was_submitted(store: Store, content: str) -> None:
    body = {"messages": [{"role": "user", "content": content}], "temperature": 0.5, "stop": None}
    with store.writing() as connection:
        job_id, _ = jobs.open_job(connection, "batch", {})
        batch_lines.add_lines(connection, job_id, [(1, "a", URL, body)])
        assert [line.body for line in batch_lines.lines(connection, job_id)] == [body]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("a\ud800b", "a?b"),
        ("\udfff\0", "?\ufffd"),
        ("na\u00efve \U0001f600", "na\u00efve \U0001f600"),
    ],
)
def test_results_have_no_character_that_a_database_refuses(store: Store, given: str, stored: str) -> None:
    with store.writing() as connection:
        job_id, _ = jobs.open_job(connection, "batch", {})
        batch_lines.add_lines(connection, job_id, [(n, "a", URL, {}) for n in (2, 1)])
        batch_lines.store_results(connection, job_id, [LineResult(1, given, None), LineResult(2, None, given)])
        found = [(line.line, line.text, line.error) for line in batch_lines.lines(connection, job_id)]
    assert found == [(1, stored, None), (2, None, stored)]
