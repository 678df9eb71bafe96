"""The job `batch`: a submitted file is validated whole, routed by one snapshot, and each line is answered once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import picture_world
import pytest
import routing_world
import tiny_quiz
from prompt_files import CHAT, chat, plain, read, write
from queue_rows import claim

from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.domain import Completion, Decoding, Image, JobState, Message, Request
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel, retry, submit
from benchcoe_jobs.services.batch import job as batch_job
from benchcoe_jobs.services.batch.job import submit_file
from benchcoe_jobs.services.batch.result_files import write_results
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import batch_lines, jobs, leases, unfinished
from benchcoe_jobs.store.job_queue.batch_lines import Line, LineResult
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
        assert "best" in body["benchcoe"]["why"]
        assert line["error"] is None
    [failed] = read(errors)
    assert (failed["custom_id"], failed["response"]) == ("c7", None)
    assert "complaint" in failed["error"]["message"]

    with routed.reading() as connection:
        shard_groups = [
            shard_group for shard_group in jobs.shard_groups(connection, [job_id]) if shard_group.stage == 1
        ]
    assert sum(shard_group.items for shard_group in shard_groups) == 200
    assert all(shard_group.loads <= 2 for shard_group in shard_groups), (
        "loaded once, and once more for the line that breaks it"
    )
    for again in (lambda: retry(routed, job_id), lambda: submit_file(routed, file, None)):
        assert again() in (1, (job_id, False))
        with routed.reading() as connection:
            assert unfinished.waiting_shards(connection, 9) == {"gpu": 1}, "only the shard with the failed line"
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


@pytest.mark.parametrize("by", ["retry", "submit"])
def test_a_cancelled_file_continues_with_what_is_missing(world: Store, tmp_path: Path, by: str) -> None:
    file = write(tmp_path / "p.jsonl", *(plain(n, f"bricks-{n}", max_tokens=5 + n) for n in range(3)))
    job_id, _ = submit_file(world, file, "r")
    routing_world.run_shards(world, tmp_path, job_id, ["cpu"])
    with world.writing() as connection:
        batch_lines.store_results(connection, job_id, [LineResult(2, "paid for", None, "stop")])
    assert cancel(world, job_id).state is JobState.CANCELLED
    assert (retry(world, job_id) if by == "retry" else submit_file(world, file, "r")) in (1, (job_id, False))
    with world.reading() as connection:
        job = jobs.read_job(connection, job_id)
    assert (job.is_open, job.cancelled_at) == (True, None)
    assert submit_file(world, file, "r") == (job_id, False), "the job that is open again is the one for this file"
    assert routing_world.run_shards(world, tmp_path, job_id, ["gpu"]).state is JobState.DONE
    with world.reading() as connection:
        texts = [line.text for line in batch_lines.lines(connection, job_id)]
    assert texts == ["BRICKS-0", "paid for", "BRICKS-2"]
    assert submit_file(world, file, "r") == (job_id, False)
    with world.reading() as connection:
        assert not jobs.read_job(connection, job_id).is_open, "nothing is left to do"


def test_a_failed_file_continues(world: Store, tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", chat(1, routing_world.APPLES.text))
    job_id, _ = submit_file(world, file, "r")
    with world.writing() as connection:
        connection.exec_driver_sql("UPDATE expert SET model = 'no-memory'")
    routing_world.run_shards(world, tmp_path, job_id, ["cpu"])
    failed = routing_world.run_shards(world, tmp_path, job_id, ["gpu"])
    assert failed.state is JobState.FAILED
    with world.writing() as connection:
        connection.exec_driver_sql("UPDATE expert SET model = 'echo'")
    assert submit_file(world, file, "r") == (job_id, False)
    assert routing_world.run_shards(world, tmp_path, job_id, ["gpu"]).state is JobState.DONE


def test_a_file_whose_job_is_being_cancelled_waits(world: Store, tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", chat(1, routing_world.APPLES.text))
    job_id, _ = submit_file(world, file, "r")
    with world.writing() as connection:
        held = claim(connection)
    assert cancel(world, job_id).is_open
    for again in (lambda: submit_file(world, file, "r"), lambda: retry(world, job_id)):
        with pytest.raises(UsageError, match=f"job {job_id} is being cancelled, .* repeat the command once"):
            again()
    with world.writing() as connection:
        leases.give_back(connection, held)
    assert submit_file(world, file, "r") == (job_id, False), "the sweep ends the cancel"
    assert routing_world.run_shards(world, tmp_path, job_id, ["cpu", "gpu"]).state is JobState.DONE


def seeds(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, job_id: int
) -> list[tuple[int, int | None, int | None]]:
    """(line, seed of the request, seed of the decoding) as the engine gets them, by line."""
    found: list[tuple[int, int | None, int | None]] = []

    def completions(
        client: object, lease: object, batches: list[list[Any]], batch_of: object
    ) -> Iterator[tuple[list[Any], list[Completion], float]]:
        for batch in batches:
            found.extend((line.line, request.seed, decoding.seed) for line, request, decoding in batch)
            yield batch, [Completion("x")] * len(batch), 0.0

    monkeypatch.setattr(batch_job.stream, "completions", completions)
    routing_world.run_shards(store, folder, job_id, ["cpu", "gpu"])
    return sorted(found)


def test_lines_without_a_seed_are_sampled_differently_and_reproducibly(
    world: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [plain(n, "bricks", temperature=1) for n in range(3)] + [plain(9, "bricks", temperature=1, seed=0)]
    file = write(tmp_path / "p.jsonl", *lines)
    job_id, _ = submit_file(world, file, "r")
    first = seeds(world, tmp_path, monkeypatch, job_id)
    assert [decoding for _, _, decoding in first] == [None, None, None, 0]
    assert len({request for _, request, _ in first}) == 4, "a seed of its own for each line"
    assert submit_file(world, file, "r") == (job_id, False), "the seed does not make it another job"
    with world.writing() as connection:
        assert jobs.read_job(connection, job_id).request["seed"] >= 0
        connection.exec_driver_sql("UPDATE batch_line SET text = NULL")
        connection.exec_driver_sql("UPDATE job SET state = 'failed'")
        connection.exec_driver_sql("UPDATE shard SET state = 'failed'")
        connection.exec_driver_sql("UPDATE shard_group SET failed = done, done = 0")
    retry(world, job_id)
    assert seeds(world, tmp_path, monkeypatch, job_id) == first, "a line that is asked again is sampled the same"


SMALL = {"url": "data:image/png;base64,eA==", "detail": "low"}


@pytest.mark.parametrize(
    "message", [{"name": "Ann", "content": "x"}, {"content": [{"type": "image_url", "image_url": SMALL}]}]
)
def test_what_a_local_engine_has_no_place_for_is_refused(world: Store, tmp_path: Path, message: dict[str, Any]) -> None:
    file = write(tmp_path / "p.jsonl", chat(1, "fine"), chat(2, "", messages=[{"role": "user"} | message]))
    with pytest.raises(InputError, match=r"engine echo has no place for this, .* expert 'ann': line 2: body.messages"):
        submit_file(world, file, "r")
    with world.writing() as connection:
        assert jobs.list_jobs(connection, only_open=True) == []
        connection.exec_driver_sql("UPDATE expert SET engine = 'openai'")
    assert submit_file(world, file, "r")[1], "an endpoint is told it"


def test_a_request_with_a_picture_goes_to_an_expert_that_can_see(world: Store, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    apples = {"type": "text", "text": routing_world.APPLES.text}
    picture = {"type": "image_url", "image_url": {"url": SMALL["url"]}}
    shown = chat(1, "", messages=[{"role": "user", "content": [apples, picture]}])
    file = write(tmp_path / "p.jsonl", shown, chat(2, routing_world.APPLES.text))
    with world.writing() as connection:
        connection.exec_driver_sql(f"UPDATE expert SET model = '{tmp_path}' WHERE name = 'ann'")
    job_id, _ = submit_file(world, file, "r")
    routing_world.run_shards(world, tmp_path, job_id, ["cpu"])
    assert experts_of(world, job_id) == ["bob", "ann"], "ann is the best on apples, and a causal language model"
    with world.writing() as connection:
        connection.exec_driver_sql(f"UPDATE expert SET model = '{tmp_path}'")
    with pytest.raises(InputError, match=r"line 1: there are pictures, and no expert .* can see"):
        submit_file(world, file, "r")


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


def test_lines_with_large_pictures_are_asked_in_smaller_micro_batches() -> None:
    """The limit is 32 MiB, as for profiles; micro-batches of one decoding are beside each other."""
    large = Image(b"x" * (20 << 20))

    def line_of(number: int, *images: Image, temperature: float = 0.0) -> batch_job._LineRequest:
        line = Line(number, f"c{number}", CHAT, {}, *[None] * 8)
        return line, Request(messages=(Message("user", ("look", *images)),)), Decoding(temperature=temperature)

    lines = [line_of(0, large), line_of(1), line_of(2, large), line_of(3, large, temperature=1.0)]
    batches = [[line.line for line, *_ in batch] for batch in batch_job._micro_batches(lines, "transformers")]
    assert batches == [[0, 1], [2], [3]]


def test_one_budget_for_the_whole_file(
    store: Store, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions about bricks are worth 0.5 more from bob, who costs 2 and ann 1; those about apples are ann's."""
    tiny_quiz.install(tmp_path, monkeypatch)
    settings.home.mkdir()
    routing_world.fill(store, settings.home)
    lines = [chat(n, f"how many {'bricks' if n % 2 else 'apples'} in case {n}") for n in range(20)]
    file = write(tmp_path / "prompts.jsonl", *lines)
    chosen = {}
    for budget in (20.0, 24.5, 30.0, 99.0):
        job_id, _ = submit_file(store, file, None, budget=budget)
        with store.reading() as connection:
            assert jobs.read_job(connection, job_id).request["budget"] == budget
        routing_world.run_shards(store, settings.home, job_id, ["cpu"], 1)
        with store.reading() as connection:
            request = jobs.read_job(connection, job_id).request
            experts_of = [line.expert for line in batch_lines.lines(connection, job_id)]
        chosen[budget] = experts_of.count("bob"), request["expected_cost"]
    assert chosen == {20.0: (0, 20.0), 24.5: (4, 24.0), 30.0: (10, 30.0), 99.0: (10, 30.0)}
    with pytest.raises(UsageError, match="20 lines are expected to cost 20 with the cheapest expert"):
        submit_file(store, file, None, budget=19.9)
    assert submit_file(store, file, None, budget=20.0)[1] is False, "the same file and budget is the same job"


def test_pictures_decide_who_answers(
    store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_quiz.install(tmp_path, monkeypatch)
    picture_world.fill(store, tmp_path)
    picture_world.train(store, settings.home)
    lines = []
    for number, subject in enumerate(["red", "blue"] * 3, 100):
        image = {"type": "image_url", "image_url": {"url": picture_world.uri(subject, number)}}
        lines.append(chat(number, "") | {"url": CHAT})
        lines[-1]["body"]["messages"][0]["content"] = [{"type": "text", "text": "Look"}, image]
    job_id, _ = submit_file(store, write(tmp_path / "p.jsonl", *lines), "looks")
    assert follow(store, settings, job_id).state is JobState.DONE
    assert experts_of(store, job_id) == ["ann", "bob"] * 3
