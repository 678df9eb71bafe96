"""The job `batch`: a submitted file is validated whole, routed by one snapshot, and each line is answered once."""

from __future__ import annotations

from pathlib import Path

import pytest
import routing_world
import tiny_quiz
from prompt_files import CHAT, chat, plain, read, write

from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel, retry, submit
from benchcoe_jobs.services.batch import job as batch_job
from benchcoe_jobs.services.batch.job import submit_file
from benchcoe_jobs.services.batch.result_files import write_results
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import batch_lines, jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def follow(store: Store, settings: Settings, job_id: int) -> JobRow:
    return InlineDispatcher(store, settings).follow(job_id, lambda _: None)


@pytest.fixture
def routed(store: Store, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two experts that echo, profiled, and a router between them."""
    tiny_quiz.install(tmp_path, monkeypatch)
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(tmp_path / "quiz", 60))
    for name in ("ann", "bob"):
        with store.writing() as connection:
            experts.add_expert(connection, ExpertRow(name, "echo", name))
            job_id, _ = submit(connection, "profile", profile_request(name))
        assert follow(store, settings, job_id).state is JobState.DONE
    options = {
        "level": "subject",
        "kind": "tfidf",
        "head": None,
        "pool": "all",
        "benchmark": "quiz",
        "split": "train",
    } | {"policy": "best"}
    with store.writing() as connection:
        job_id, _ = submit(connection, "train-router", {"router": "r", **options})
    assert follow(store, settings, job_id).state is JobState.DONE
    return store


def test_a_wrong_file_submits_no_job(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with pytest.raises(InputError, match="line 2: not JSON"):
        submit_file(store, write(tmp_path / "p.jsonl", chat(1, "x"), "{"), None)
    with store.reading() as connection:
        assert jobs.list_jobs(connection) == []


def test_every_line_ends_in_exactly_one_line(routed: Store, settings: Settings, tmp_path: Path) -> None:
    lines = [chat(n, f"number {n}", max_tokens=5 + n % 2) if n % 3 else plain(n, f"number {n}") for n in range(200)]
    lines[7] = chat(7, "raise")  # the engine cannot answer it
    lines[9] = chat(9, "after a talk")
    lines[9]["body"]["messages"].insert(0, {"role": "system", "content": "be brief"})
    file = write(tmp_path / "prompts.jsonl", *lines)
    job_id, is_new = submit_file(routed, file, None)
    assert (is_new, submit_file(routed, file, "r")) == (True, (job_id, False))

    output, errors = tmp_path / "out", tmp_path / "err"
    assert write_results(routed, job_id, output, errors) == (0, 0), "nothing yet, which is no error"
    job = follow(routed, settings, job_id)
    assert job.state is JobState.PARTIAL
    assert write_results(routed, job_id, output, errors) == (199, 1)
    answers = read(output)
    assert [line["custom_id"] for line in answers] == [f"c{n}" for n in range(200) if n != 7]
    for line, sent in zip(answers, [line for n, line in enumerate(lines) if n != 7], strict=True):
        body = line["response"]["body"]
        [choice] = body["choices"]
        said = choice["message"]["content"] if sent["url"] == CHAT else choice["text"]
        assert said == f"NUMBER {sent['custom_id'][1:]}" or sent["custom_id"] == "c9"
        assert body["model"] == body["benchcoe"]["expert"] in ("ann", "bob")
        assert "best on" in body["benchcoe"]["why"]
        assert line["error"] is None
    [failed] = read(errors)
    assert (failed["custom_id"], failed["response"]) == ("c7", None)
    assert "complaint" in failed["error"]["message"]

    assert submit_file(routed, file, None) == (job_id, False), "the same file for the same router, also when over"
    with routed.reading() as connection:
        shard_groups = [
            shard_group for shard_group in jobs.shard_groups(connection, [job_id]) if shard_group.stage == 1
        ]
    assert sum(shard_group.items for shard_group in shard_groups) == 200
    assert all(shard_group.loads <= 2 for shard_group in shard_groups), (
        "loaded once, and once more for the line that breaks it"
    )
    assert retry(routed, job_id) == 1
    assert follow(routed, settings, job_id).state is JobState.PARTIAL
    assert write_results(routed, job_id, output, errors) == (199, 1)
    assert read(output) == answers, "what was answered is not asked again"


@pytest.fixture
def world(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Experts that echo, scores that were imported, and a router whose choices are known."""
    tiny_quiz.install(tmp_path, monkeypatch)
    routing_world.fill(store, tmp_path)
    return store


def experts_of(store: Store, job_id: int) -> list[str | None]:
    with store.reading() as connection:
        return [line.expert for line in batch_lines.lines(connection, job_id)]


def test_all_lines_of_a_file_are_routed_by_one_router(
    world: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_job, "_ROUTED_AT_ONCE", 1)
    file = write(tmp_path / "p.jsonl", *(chat(n, routing_world.APPLES.text) for n in (1, 2)))
    job_id, _ = submit_file(world, file, "r")
    routing_world.run_shards(world, tmp_path, job_id, ["cpu"], n=1)
    routing_world.train(world, tmp_path, pool="bobs")
    routing_world.run_shards(world, tmp_path, job_id, ["cpu"])
    assert experts_of(world, job_id) == ["ann", "ann"], "the second line is routed by what decided the first"


def test_an_open_job_keeps_the_artifact_that_it_needs(world: Store, tmp_path: Path) -> None:
    folder = tmp_path / "routers" / "r"
    job_id, _ = submit_file(world, write(tmp_path / "p.jsonl", chat(1, routing_world.APPLES.text)), "r")
    [before] = folder.iterdir()
    routing_world.train_on_more(world, tmp_path)
    assert before in folder.iterdir()
    assert len(list(folder.iterdir())) == 2
    routing_world.run_shards(world, tmp_path, job_id, ["cpu"])
    assert experts_of(world, job_id) == ["ann"]
    cancel(world, job_id)
    [now] = (path for path in folder.iterdir() if path != before)
    routing_world.train(world, tmp_path)
    assert list(folder.iterdir()) == [now], "no open job names the earlier artifact any more"


def test_the_same_file_is_another_job_for_another_pool_and_for_moved_labels(world: Store, tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", chat(1, routing_world.APPLES.text))
    first, is_new = submit_file(world, file, "r")
    assert is_new
    done = routing_world.run_shards(world, tmp_path, first, ["cpu"])
    done = routing_world.run_shards(world, tmp_path, first, ["gpu"])
    assert (done.state, experts_of(world, first)) == (JobState.DONE, ["ann"])
    assert submit_file(world, file, "r") == (first, False)

    routing_world.train(world, tmp_path, pool="bobs")
    second, is_new = submit_file(world, file, "r")
    assert is_new, "the answers of the job before are not those of this router"
    routing_world.run_shards(world, tmp_path, second, ["cpu"])
    assert experts_of(world, second) == ["bob"]

    routing_world.train(world, tmp_path)
    assert submit_file(world, file, "r") == (first, False), "this router and these labels are those of the first job"
    with world.writing() as connection:
        experts.set_retired(connection, "bob", True)
    assert submit_file(world, file, "r")[1], "the labels have moved"


def test_an_open_job_of_an_earlier_release_fails_with_the_command_that_helps(world: Store, tmp_path: Path) -> None:
    request = {"router": "r", "artifact": "routers/r/0", "content": "0", "lines": 1}
    job = routing_world.run_shards(world, tmp_path, routing_world.open_old_job(world, "batch", request), ["cpu"])
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.endswith("submit it again with `benchcoe-jobs submit`")


def test_a_router_of_imported_experts_cannot_answer(routed: Store, tmp_path: Path) -> None:
    with routed.writing() as connection:
        connection.exec_driver_sql("UPDATE expert SET engine = 'recorded'")
    with pytest.raises(UsageError, match="has imported results and no engine to answer with"):
        submit_file(routed, write(tmp_path / "p.jsonl", chat(1, "x")), None)
