"""The two files of results: what they hold at each state of a job, and what is never overwritten."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
import routing_world
from prompt_files import chat, plain, read, write
from queue_rows import claim

from benchcoe_jobs.domain import JobState, Queue, ShardState
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel, settle, submit
from benchcoe_jobs.services.batch.job import submit_file
from benchcoe_jobs.services.batch.result_files import require_result_files, write_results
from benchcoe_jobs.services.evaluation.decisions import evaluate_request
from benchcoe_jobs.store.job_queue import batch_lines, jobs, leases
from benchcoe_jobs.store.job_queue.batch_lines import LineResult
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store


def submitted(store: Store, folder: Path) -> int:
    routing_world.fill(store, folder)
    lines = [chat(1, "x"), plain(2, "y"), chat(3, "z")]
    return submit_file(store, write(folder / "p.jsonl", *lines), None)[0]


def test_each_line_is_in_one_file_in_the_order_of_the_submitted_one(store: Store, tmp_path: Path) -> None:
    job_id, output, errors = submitted(store, tmp_path), tmp_path / "out", tmp_path / "err"
    assert write_results(store, job_id, output, errors) == (0, 0)
    assert (output.read_text(), errors.read_text()) == ("", ""), "no answer yet is no error"
    results = [
        LineResult(3, "C", None, "stop", 4, 1),
        LineResult(1, "A", None, "stop"),
        LineResult(2, None, "no memory"),
    ]
    with store.writing() as connection:
        batch_lines.store_results(connection, job_id, results)
    assert write_results(store, job_id, output, errors) == (2, 1)
    assert [line["custom_id"] for line in read(output)] == ["c1", "c3"]
    assert read(output)[1]["response"]["body"]["usage"]["total_tokens"] == 5
    assert [(line["custom_id"], line["error"]["message"]) for line in read(errors)] == [("c2", "no memory")]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".out")) == []


def test_the_lines_of_a_cancelled_job_are_errors(store: Store, tmp_path: Path) -> None:
    job_id, errors = submitted(store, tmp_path), tmp_path / "err"
    assert cancel(store, job_id).state is JobState.CANCELLED
    assert write_results(store, job_id, tmp_path / "out", errors) == (0, 3)
    assert {line["error"]["message"] for line in read(errors)} == {"the job was cancelled before this line was asked"}


def test_a_line_that_was_not_asked_has_the_reason_of_its_shard(store: Store, tmp_path: Path) -> None:
    job_id, errors = submitted(store, tmp_path), tmp_path / "err"
    with store.writing() as connection:
        leases.finish(connection, claim(connection), ShardState.DONE)
        ann = experts.find_expert(connection, "ann")
        batch_lines.set_experts(connection, job_id, [(number, ann, "best") for number in (1, 2, 3)])
        batch_lines.store_results(connection, job_id, [LineResult(1, "A", None, "stop")])
        groups = [NewShardGroup(Queue.CPU, [({"lines": [n]}, 1) for n in (1, 2, 3)], expert_id=ann)]
        jobs.add_shard_groups(connection, job_id, 1, groups)
        jobs.set_stage(connection, job_id, 1)
        leases.finish(connection, claim(connection), ShardState.DONE)
        for reason in ("the driver is gone", "no memory"):
            leases.finish(connection, claim(connection), ShardState.FAILED, reason)
        settle(connection, job_id)
        job = jobs.read_job(connection, job_id)
    assert (job.state, job.error, job.exit_code) == (JobState.PARTIAL, "the driver is gone", 3)
    assert write_results(store, job_id, tmp_path / "out", errors) == (1, 2)
    reasons = [(line["custom_id"], line["error"]["message"]) for line in read(errors)]
    assert reasons == [("c2", "the driver is gone"), ("c3", "no memory")]


def test_a_line_that_was_not_routed_has_the_reason_of_its_shard(store: Store, tmp_path: Path) -> None:
    job_id, errors = submitted(store, tmp_path), tmp_path / "err"
    with store.writing() as connection:
        leases.finish(connection, claim(connection), ShardState.FAILED, "the artifact is damaged")
        settle(connection, job_id)
    assert write_results(store, job_id, tmp_path / "out", errors) == (0, 3)
    assert {line["error"]["message"] for line in read(errors)} == {"the artifact is damaged"}


def test_no_link_is_written_through(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = submitted(store, tmp_path)
    victim, output, errors = tmp_path / "victim", tmp_path / "out", tmp_path / "err"
    victim.write_text("precious")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0")
    (tmp_path / ".benchcoe-0").symlink_to(victim)
    with pytest.raises(InputError, match="cannot be written: File exists"):
        write_results(store, job_id, output, errors)
    assert victim.read_text() == "precious"
    monkeypatch.undo()
    elsewhere = tmp_path / "elsewhere"
    output.symlink_to(elsewhere)
    assert write_results(store, job_id, output, errors) == (0, 0)
    assert (elsewhere.exists(), output.is_symlink(), output.read_text()) == (False, False, "")


def test_only_result_files_are_overwritten(tmp_path: Path) -> None:
    prompts = write(tmp_path / "p.jsonl", chat(1, "x"))
    results, empty = tmp_path / "old.jsonl", tmp_path / "empty"
    results.write_text('{"id": "batch_req_1_1", "custom_id": "c1"}\n')
    empty.touch()
    require_result_files(results, empty)
    for path, message in [
        (prompts, "exists and is not a result file: name another file, or move it"),
        (tmp_path, "exists and is not a result file"),
        (tmp_path / "none" / "out", "folder .*none does not exist"),
    ]:
        with pytest.raises(UsageError, match=message):
            require_result_files(path, empty)
    with pytest.raises(UsageError, match="name two files"):
        require_result_files(results, results)


def test_another_kind_of_job_has_no_result_files(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        job_id, _ = submit(connection, "evaluate", evaluate_request(connection, "r", None, "train"))
    with pytest.raises(UsageError, match=f"job {job_id} is not a submitted file: `benchcoe-jobs status {job_id}`"):
        write_results(store, job_id, tmp_path / "out", tmp_path / "err")
