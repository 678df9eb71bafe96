"""An import and the removal of its expert at the same time. SQLite lets one transaction begin, so they cannot meet."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from tables import add_experts

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.services.removal.remove import Removed, remove
from benchcoe_jobs.store.removal.results import remove_expert
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"])
TABLE = "key,subject,benchmark,score\n1,law,toy,1\n2,law,toy,0\nlast,law,,1\n"
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid != pg_backend_pid()")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text(TABLE)
    return path


def until_it_waits(store: Store, work: Future[ImportSummary] | Future[Removed]) -> None:
    """Return when a transaction waits for a lock of another one, or when the work has ended."""
    until = time.monotonic() + 30
    with store.engine.connect() as connection:
        while not (work.done() or connection.scalar(WAITING)) and time.monotonic() < until:
            connection.rollback()
            time.sleep(0.01)


def test_a_removal_waits_for_an_import_of_the_expert(store: Store, table: Path, tmp_path: Path) -> None:
    add_experts(store, ann=1.0, bob=1.0)
    written, go_on = threading.Event(), threading.Event()

    def hold(_: int) -> None:
        written.set()
        go_on.wait(30)

    with ThreadPoolExecutor(2) as pool:
        importing = pool.submit(import_results, store, "ann", table, form="table", progress=hold)
        assert written.wait(30)
        removing = pool.submit(remove, store, tmp_path, "expert", "ann")
        until_it_waits(store, removing)
        go_on.set()
        assert importing.result(30).scored == {"ann": 2}
        assert removing.result(30).removal.deleted["score"] == 2
    with store.reading() as connection:
        assert [*experts.expert_ids(connection)] == ["bob"]


@pytest.mark.parametrize("expert", ["ann", "all"])
def test_an_import_waits_for_a_removal_of_the_expert(store: Store, table: Path, expert: str) -> None:
    add_experts(store, ann=1.0, bob=1.0)
    table.write_text("key,subject,benchmark,expert,score\n1,law,toy,ann,1\n1,law,toy,bob,1\n")
    with ThreadPoolExecutor(1) as pool:
        with store.writing() as connection:
            experts.lock_experts(connection, ["ann"])
            remove_expert(connection, experts.find_expert(connection, "ann"), "ann")
            importing = pool.submit(import_results, store, expert, table, form="table")
            until_it_waits(store, importing)
        if expert == "ann":
            with pytest.raises(UsageError, match="unknown expert 'ann'; known are bob"):
                importing.result(30)
        else:
            assert importing.result(30).scored == {"bob": 1}
