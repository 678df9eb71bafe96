"""What answers took, by expert and benchmark."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import jobs, usage
from benchcoe_jobs.store.job_queue.tables import ShardGroup
from benchcoe_jobs.store.job_queue.usage import AlikeUsage, Usage
from benchcoe_jobs.store.results import catalog, experts, responses
from benchcoe_jobs.store.results.responses import ErrorRow, NewScore
from benchcoe_jobs.store.session import Store


def test_usage_of_an_expert_and_of_others(filled: Store) -> None:
    with filled.writing() as connection:
        a, stored = experts.find_expert(connection, "a"), catalog.stored_queries(connection, 1)
        b = experts.find_expert(connection, "b")
        run_id = responses.ensure_run(connection, a, 1, {"run": 1})
        rows = [
            NewScore(stored[key].id, stored[key].stratum_id, 1.0, text="x", prompt_tokens=5, completion_tokens=n)
            for key, n in (("q1", 10), ("q2", 30))
        ]
        responses.write_scores(connection, a, run_id, rows)
        responses.write_errors(connection, run_id, [ErrorRow(stored["q3"].id, "no", 1.0)])
        assert usage.of_expert(connection, a, 1) == [Usage(5, 30, None, None), Usage(5, 10, None, None)]
        assert usage.of_expert(connection, a, None) == usage.of_expert(connection, a, 1)
        assert usage.of_others(connection, b, 1) == [AlikeUsage("recorded", 2, 5.0, 20.0, None)]
        assert usage.of_others(connection, a, 1) == []


def test_the_time_of_an_answer_is_that_of_all_jobs(filled: Store) -> None:
    with filled.writing() as connection:
        a = experts.find_expert(connection, "a")
        assert usage.seconds_per_answer(connection, a, 1) is None
        for number in range(2):
            job_id, _ = jobs.open_job(connection, "profile", {"number": number})
            group = jobs.NewShardGroup(Queue.CPU, [({}, 4)], expert_id=a, benchmark_id=1)
            jobs.add_shard_groups(connection, job_id, 0, [group])
        connection.execute(update(ShardGroup).values(answered=4, seconds=6.0))
        assert usage.seconds_per_answer(connection, a, None) == pytest.approx(1.5)
        assert usage.seconds_per_answer(connection, a, 2) is None
