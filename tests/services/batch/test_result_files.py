"""The two files of results: what they hold at each state of a job, and what is never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
import routing_world
from prompt_files import chat, plain, read, write

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel, submit
from benchcoe_jobs.services.batch.job import submit_file
from benchcoe_jobs.services.batch.result_files import require_result_files, write_results
from benchcoe_jobs.services.evaluation.decisions import evaluate_request
from benchcoe_jobs.store.job_queue import batch_lines
from benchcoe_jobs.store.job_queue.batch_lines import LineResult
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
