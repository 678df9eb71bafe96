"""Which dispatcher a command uses, and how often it makes one."""

from __future__ import annotations

from pathlib import Path

import console
import fake_plugins
import pytest

from benchcoe_jobs.dispatch import base
from benchcoe_jobs.dispatch.base import Dispatcher, dispatcher
from benchcoe_jobs.dispatch.celery import CeleryDispatcher
from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.job_queue.lifecycle import settle, submit
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import claims, leases
from benchcoe_jobs.store.session import Store


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_broker_decides(store: Store, store_url: str, tmp_path: Path) -> None:
    here = dispatcher(store, Settings(store_url, None, tmp_path, 60.0))
    queued = dispatcher(store, Settings(store_url, "redis://127.0.0.1:1/0", tmp_path, 60.0))
    assert isinstance(here, InlineDispatcher)
    assert isinstance(queued, CeleryDispatcher)
    assert (here.runs_here, queued.runs_here) == (True, False)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_command_makes_one_dispatcher(
    store: Store, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a broker, each one is a Celery application with connections of its own."""
    fake_plugins.install(tmp_path, monkeypatch)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    with store.writing() as connection:
        job_id, _ = submit(connection, "empty", {"stages": [[1], [0]]})
        claim = claims.claim(connection, "a worker", ["cpu"], lease_s=60)
        assert claim is not None
        leases.finish(connection, claim, ShardState.FAILED, "a reason")
        settle(connection, job_id)

    made: list[Dispatcher] = []

    def counted(store: Store, settings: Settings) -> Dispatcher:
        made.append(dispatcher(store, settings))
        return made[-1]

    monkeypatch.setattr(base, "dispatcher", counted)
    assert console.run(f"retry {job_id}", capsys).code == 0
    assert len(made) == 1
