"""The end of a training: several of one name, readers, open jobs, and stores that share a home folder."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import routing_world
import tables
from sqlalchemy import Connection

from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.services.routing.decider import current_decider
from benchcoe_jobs.services.routing.snapshot import keep_snapshot
from benchcoe_jobs.services.training import registration
from benchcoe_jobs.services.training.checkpoints import ABANDONED_S
from benchcoe_jobs.services.training.train import Trained, extend_router, train_router
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.session import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


def train(store: Store, home: Path, level: Level, guard: registration.Guard = registration.unguarded) -> Trained:
    options = {"kind": "tfidf", "head": None, "pool": "all", "benchmark": None, "split": "train", "max_fallback": 0.0}
    return train_router(store, home, "r", level=level, guard=guard, **options)


def named(store: Store) -> str:
    with store.reading() as connection:
        name = routers.current_artifact(connection, "r")
    assert name is not None
    return name


def artifacts(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "routers" / "r").iterdir())


def test_the_row_names_the_whole_sha256(world: Store, tmp_path: Path) -> None:
    with world.reading() as connection:
        router = routers.find_router(connection, "r")
    assert len(router.fingerprint) == 64
    artifact.load(tmp_path / router.artifact, router.fingerprint)


def test_two_trainings_at_the_same_time_leave_the_router_of_the_last(world: Store, tmp_path: Path) -> None:
    """The first has been placed, and its row is not committed, when the second wants to register."""
    ended: list[Trained] = []
    second = threading.Thread(target=lambda: ended.append(train(world, tmp_path, Level.QUERY)))

    def meanwhile(connection: Connection) -> None:
        second.start()
        second.join(0.5)
        assert second.is_alive(), "it waits for the name"

    first = train(world, tmp_path, Level.SUBJECT, meanwhile)
    second.join(30)
    assert (first.level, ended[0].level) == ("subject", "query")
    assert current_decider(world, tmp_path, "r").choose([routing_world.APPLES])[0].expert == "ann"
    assert artifacts(tmp_path) == [Path(named(world)).name]


def test_many_trainings_of_one_name_leave_a_router_that_routes(world: Store, tmp_path: Path) -> None:
    levels = [Level.SUBJECT, Level.QUERY] * 3
    threads = [threading.Thread(target=train, args=(world, tmp_path, level)) for level in levels]
    failures: list[object] = []
    hook, threading.excepthook = threading.excepthook, lambda failed: failures.append(failed.exc_value)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            current_decider(world, tmp_path, "r").choose([routing_world.APPLES])
    finally:
        for thread in threads:
            thread.join()
        threading.excepthook = hook
    assert failures == []
    assert artifacts(tmp_path) == [Path(named(world)).name]


def test_an_extension_of_a_router_that_was_trained_meanwhile_extends_the_new_one(
    world: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(world, tmp_path, Level.QUERY)
    extended_from = named(world)
    read = artifact.load

    def and_trained_again(folder: Path, *rest: object, **options: object) -> object:
        model = read(folder, *rest, **options)  # type: ignore[arg-type]
        if folder == tmp_path / extended_from:
            tables.add_experts(world, cat=1.0)
            routing_world.bring(world, tmp_path, "cat", 0.5, 0.5)
            train(world, tmp_path, Level.QUERY)
        return model

    monkeypatch.setattr(artifact, "load", and_trained_again)
    extended = extend_router(world, tmp_path, "r")
    assert (extended.outputs, extended.new_outputs) == (("ann", "bob", "cat"), ())
    assert artifacts(tmp_path) == [Path(named(world)).name]


def test_a_reader_of_a_router_that_is_replaced_reads_the_new_one(
    world: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, begun = artifact.load, []

    def while_it_is_replaced(folder: Path, *rest: object, **options: object) -> object:
        if not begun:
            begun.append(folder)
            train(world, tmp_path, Level.QUERY)
            assert not folder.exists()
        return read(folder, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(artifact, "load", while_it_is_replaced)
    chooser = current_decider(world, tmp_path, None)
    assert chooser.snapshot.router.level == "query"
    assert chooser.choose([routing_world.APPLES])[0].expert == "ann"


def test_what_an_open_job_uses_stays_until_a_training_after_its_end(world: Store, tmp_path: Path) -> None:
    before = Path(named(world)).name
    with world.writing() as connection:
        snapshot = keep_snapshot(connection, "r")
        job_id, _ = jobs.open_job(connection, "evaluate", {"snapshot": snapshot.fingerprint})
    train(world, tmp_path, Level.QUERY)
    assert artifacts(tmp_path) == sorted([before, Path(named(world)).name])
    with world.writing() as connection:
        connection.exec_driver_sql(f"UPDATE job SET state = 'done' WHERE id = {job_id}")
    train(world, tmp_path, Level.QUERY)
    assert artifacts(tmp_path) == [Path(named(world)).name]


def test_a_home_folder_of_several_stores_keeps_the_routers_of_each(world: Store, tmp_path: Path) -> None:
    other = tmp_path / "routers" / "r" / ("0" * 64)
    shutil.copytree(tmp_path / named(world), other)
    train(world, tmp_path, Level.QUERY)
    assert other.is_dir(), "this store has never named it"


def test_a_row_cannot_name_a_folder_outside_those_of_the_router(world: Store, tmp_path: Path) -> None:
    (tmp_path / "routers" / "other").mkdir()
    for name in ("routers/other", "routers/r/..", "routers/r/../other", "", "/"):
        with world.writing() as connection:
            connection.exec_driver_sql(f"UPDATE router SET artifact = '{name}'")
        train(world, tmp_path, Level.QUERY)
        assert (tmp_path / "routers" / "other").is_dir()
        assert (tmp_path / named(world)).is_dir()


def test_the_same_router_again_repairs_a_damaged_copy(world: Store, tmp_path: Path) -> None:
    weights = tmp_path / named(world) / "weights.safetensors"
    weights.write_bytes(b"")
    train(world, tmp_path, Level.SUBJECT)
    assert weights.stat().st_size > 0
    current_decider(world, tmp_path, "r")


def test_files_of_trainings_that_were_killed_long_ago_are_removed(world: Store, tmp_path: Path) -> None:
    old, new = (tmp_path / "routers" / "r" / f".new-{age}" for age in ("old", "young"))
    for staged, age_s in ((old, ABANDONED_S + 60), (new, 60)):
        staged.mkdir()
        os.utime(staged, (time.time() - age_s,) * 2)
    train(world, tmp_path, Level.SUBJECT)
    assert (old.exists(), new.exists()) == (False, True)


def test_only_the_user_may_enter_the_folders(world: Store, tmp_path: Path) -> None:
    for folder in ("routers", "routers/r", named(world)):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
