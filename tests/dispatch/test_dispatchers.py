"""The contract of both dispatchers, on both databases: inline, and with a worker as users start it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_plugins
import installation
import pytest
import redis
from installation import Site
from odd_messages import NO_TICKETS, ODD_TICKETS

from benchcoe_jobs.domain import JobState, Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel, retry, submit
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.routing import routers

N = 600  # four shards, the last one short
UNANSWERABLE = (3, 400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the files that control the engine."""
    made = tmp_path_factory.mktemp("fake")
    with pytest.MonkeyPatch.context() as patch:
        fake_plugins.install(made, patch)
        yield made


@pytest.fixture(scope="module", params=["sqlite-inline", "sqlite-celery", "postgresql-celery"])
def site(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Site]:
    """An installation with questions and, if it has a broker, with a worker."""
    database, _, dispatcher = request.param.partition("-")
    mine = tmp_path_factory.mktemp("site")
    url = f"sqlite:///{mine / 'benchcoe.db'}"
    if database == "sqlite":
        shutil.copy(sqlite_template, mine / "benchcoe.db")
    else:
        url = request.getfixturevalue("fresh_postgres")(True)
    broker_url = request.getfixturevalue("fresh_broker")() if dispatcher == "celery" else None
    with installation.opened(Site(mine, url, broker_url)) as made:
        installation.prepare(made.store, folder, N, unanswerable=UNANSWERABLE)
        if broker_url:
            with redis.Redis.from_url(broker_url) as client:  # the worker begins with messages that others left
                client.lpush("gpu", *NO_TICKETS.values(), *ODD_TICKETS.values())
            made.start_worker()
        yield made


@pytest.fixture(autouse=True)
def orders(folder: Path) -> Iterator[Callable[[str, str], None]]:
    """Write a file that controls the engine; it is deleted at the end of the test."""
    given = []

    def give(name: str, content: str = "") -> None:
        given.append(folder / name)
        given[-1].write_text(content)

    yield give
    for path in given:
        path.unlink(missing_ok=True)


def test_every_query_is_asked_once_and_the_report_says_so(site: Site) -> None:
    site.add_expert("ann")
    first = site.follow(site.profile("ann"))
    rows = installation.responses_of(site.store, "ann")
    assert set(rows.values()) == {1}
    assert len(rows) == N
    assert all(text and error is None and score in (0.0, 1.0) for _, text, error, score, _ in rows)

    again = site.follow(site.profile("ann"))
    assert again.id != first.id
    assert installation.responses_of(site.store, "ann") == rows
    right = sum(score for *_, score, _ in rows)
    for job, n_reused in ((first, 0), (again, N)):
        assert (job.state, job.error, job.exit_code) == (JobState.DONE, None, None)
        assert job.report is not None
        [row] = job.report.pop("benchmarks")
        assert row.pop("seconds") >= 0
        assert row.pop("mean") == pytest.approx(right / N)
        counts = {"queries": N, "reused": n_reused, "answered": N - n_reused, "errors": 0, "truncated": 0}
        assert sum(row.pop("rules").values()) == N
        assert row == {"benchmark": "fake"} | counts
    assert first.report is not None
    assert first.report.pop("quote")["queries"] == N
    assert first.report == {"expert": "ann", "loads": 1, "left": 0}, "one load for all shards"


def test_the_same_work_twice_is_one_job(site: Site, orders: Callable[[str, str], None]) -> None:
    orders("slow", "0.2")
    site.add_expert("bob")
    first, second = site.profile("bob"), site.profile("bob")
    assert first == second
    job = site.follow(first)
    assert job.report is not None
    assert job.report["benchmarks"][0]["answered"] == N
    assert set(installation.responses_of(site.store, "bob").values()) == {1}


def test_retry_asks_only_the_items_that_failed(site: Site, orders: Callable[..., None]) -> None:
    site.add_expert("cat", "shy")
    job = site.follow(site.profile("cat"))
    assert (job.state, job.exit_code) == (JobState.PARTIAL, 3)
    assert job.report is not None
    assert job.report["benchmarks"][0]["errors"] == len(UNANSWERABLE)
    failed = {key for key, text, error, *_ in installation.responses_of(site.store, "cat") if text is None and error}
    assert failed == set(map(str, UNANSWERABLE))

    orders("healed")
    n_batches = len(fake_plugins.batches())
    assert retry(site.store, job.id) == 2, "only the shards that they are in"
    site.runner.announce()
    healed = site.follow(job.id)
    assert (healed.state, healed.error, healed.exit_code) == (JobState.DONE, None, None)
    assert sum(map(len, fake_plugins.batches()[n_batches:])) == len(UNANSWERABLE), "and of those nothing else"
    assert len(installation.responses_of(site.store, "cat")) == N
    with pytest.raises(UsageError, match="no failed shards or items"):
        retry(site.store, job.id)


def test_an_expert_that_cannot_be_loaded_fails_without_a_retry(site: Site) -> None:
    site.add_expert("dan", "nowhere")
    job = site.follow(site.profile("dan"))
    assert (job.state, job.error, job.exit_code) == (JobState.FAILED, "there is no model nowhere", 1)
    assert sorted(site.shards(job.id)) == [("failed", 0), ("failed", 0), ("failed", 1)]


def test_a_profile_is_followed_by_training_a_head_for_the_new_expert(site: Site) -> None:
    for name in ("eve", "fay"):
        site.add_expert(name, name)
        site.follow(site.profile(name))
    options = {"pool": "all", "benchmark": "fake", "split": "train", "kind": "tfidf", "head": None}
    train_router(site.store, site.settings.home, "guide", level=Level.QUERY, **options)
    site.add_expert("newcomer", "new")
    job_id = site.profile("newcomer")
    site.follow(job_id)
    with site.store.reading() as connection:
        [follower] = jobs.followers(connection, job_id)
        job = jobs.read_job(connection, follower)
        router = routers.find_router(connection, "guide")
    assert (job.kind, job.state) == ("train-router", JobState.DONE)
    assert job.report is not None
    assert "newcomer" in job.report["new_outputs"]
    assert (site.settings.home / router.artifact).is_dir()


def test_a_cancelled_job_stops_at_the_next_micro_batch(site: Site, orders: Callable[[str, str], None]) -> None:
    orders("slow", "0.5")
    site.add_expert("gus")
    job_id = site.profile("gus")
    follower = threading.Thread(target=site.follow, args=[job_id])
    follower.start()
    site.wait_until_processed(job_id, 64)
    cancel(site.store, job_id)
    with site.store.writing() as connection:  # while the cancelled one has not ended
        other, is_new = submit(connection, "profile", profile_request("gus", ["fake"]))
    assert is_new
    follower.join()
    assert site.wait(job_id).state is JobState.CANCELLED
    assert {state for state, _ in site.shards(job_id)} <= {"cancelled", "done"}
    n_stored = len(installation.responses_of(site.store, "gus"))
    assert 64 <= n_stored < N
    orders("slow", "0")
    site.runner.announce()
    done = site.follow(other)
    assert done.report is not None
    assert done.state is JobState.DONE
    assert done.report["benchmarks"][0]["reused"] >= 64, "stored results are reused"
    assert set(installation.responses_of(site.store, "gus").values()) == {1}
    assert len(installation.responses_of(site.store, "gus")) == N
    assert installation.open_ends(site.store) == {"jobs": 0, "shards": 0}
