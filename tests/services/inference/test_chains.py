"""Jobs that follow from jobs, where two ends meet."""

from __future__ import annotations

from pathlib import Path

import crew
import fake_plugins
import pytest
from crew import Site

from benchcoe_jobs.domain import JobState, Level, ShardState
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.job_queue.lease import Heartbeat, Lease
from benchcoe_jobs.job_queue.lifecycle import settle
from benchcoe_jobs.services.training.job import TrainJob
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.job_queue import claims, jobs, leases


def unused(*_: object) -> None:
    """A training has no engine."""


def test_who_arrives_while_heads_are_trained_gets_one_after(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_plugins.install(tmp_path, monkeypatch)
    with crew.opened(Site(tmp_path, store_url)) as site:
        crew.prepare(site.store, tmp_path, 60)
        for name in ("ann", "bob"):
            site.add_expert(name, name)
            site.follow(site.profile(name))
        options = {"pool": "all", "benchmark": "fake", "split": "train", "kind": "tfidf", "head": None}
        train_router(site.store, site.settings.home, "guide", level=Level.QUERY, **options)

        training = site.submit("train-router", {"router": "guide", "extend": True})
        with site.store.writing() as connection:
            claim = claims.claim(connection, "elsewhere", ["train"], lease_s=60)
        assert claim is not None
        with Lease(site.store, claim, lease_s=60, beats=Heartbeat()) as lease:
            TrainJob().run(Assignment(site.store, site.settings.home, claim, lease, unused, unused))
        site.add_expert("late", "late")
        profile = site.profile("late")
        assert site.follow(profile).state is JobState.DONE
        with site.store.reading() as connection:
            assert jobs.followers(connection, profile) == [], "the open training is the job for its request"

        with site.store.writing() as connection:
            leases.finish(connection, claim, ShardState.DONE)
            settle(connection, training)
        job = site.follow(training)
        with site.store.reading() as connection:
            [follower] = jobs.followers(connection, training)
            after = jobs.read_job(connection, follower)
        assert (job.state, after.state) == (JobState.DONE, JobState.DONE)
        assert after.report is not None
        assert after.report["new_outputs"] == ["late"]
