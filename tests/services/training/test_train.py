"""Training and extending routers: what is registered, which artifacts stay, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import routing_world
import tables

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import StoreError, UsageError
from benchcoe_jobs.services.training.train import Trained, extend_router, train_router
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.session import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


def train(store: Store, home: Path, name: str = "q", **changes: Any) -> Trained:
    options = {"level": Level.QUERY, "kind": "tfidf", "head": None, "pool": "all", "benchmark": None, "split": "train"}
    return train_router(store, home, name, **options | changes)


def artifacts(home: Path, name: str) -> list[str]:
    return sorted(path.name for path in (home / "routers" / name).iterdir())


def test_a_trained_router_is_registered_with_its_artifact(world: Store, tmp_path: Path) -> None:
    trained = train(world, tmp_path)
    assert trained.as_json() == {
        "router": "q",
        "level": "query",
        "kind": "tfidf",
        "pool": "all",
        "benchmark": "toy",
        "split": "train",
        "label_set": trained.label_set,
        "n": 40,
        "outputs": ["ann", "bob"],
        "new_outputs": ["ann", "bob"],
        "fallback": trained.as_json()["fallback"],
        "history": None,
        "auto_weight": trained.as_json()["auto_weight"],
        "cascade": None,
    }
    with world.reading() as connection:
        router = routers.find_router(connection, "q")
    assert (router.level, router.n_queries, router.label_set) == ("query", 40, trained.label_set)
    assert artifacts(tmp_path, "q") == [Path(router.artifact).name]


def test_an_extension_adds_a_head_and_removes_the_earlier_artifact(world: Store, tmp_path: Path) -> None:
    train(world, tmp_path)
    before = artifacts(tmp_path, "q")
    tables.add_experts(world, cat=1.0)
    routing_world.bring(world, tmp_path, "cat", 0.5, 0.5)
    trained = extend_router(world, tmp_path, "q")
    assert (trained.outputs, trained.new_outputs) == (("ann", "bob", "cat"), ("cat",))
    assert len(artifacts(tmp_path, "q")) == 1
    assert artifacts(tmp_path, "q") != before
    assert extend_router(world, tmp_path, "q").new_outputs == ()


def test_a_guard_that_refuses_leaves_the_router_as_it_was(world: Store, tmp_path: Path) -> None:
    with world.reading() as connection:
        before = routers.find_router(connection, "r")

    def refuse(connection: object) -> None:
        raise StoreError("lost the lease")

    with pytest.raises(StoreError, match="lost the lease"):
        train(world, tmp_path, "r", guard=refuse)
    with world.reading() as connection:
        assert routers.find_router(connection, "r") == before
    assert (tmp_path / before.artifact).is_dir()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../r"}, "router name '../r': use letters, digits, dots, dashes and underscores"),
        ({"policy": Policy.ABSTAIN}, "policy abstain"),
        ({"pool": "bobs"}, "toy, split train, has 1 eligible expert"),
        ({"split": "test"}, "no expert of pool 'all' has scores"),
    ],
)
def test_what_cannot_be_trained_is_refused(world: Store, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(world, tmp_path, **changes)


def test_a_subject_level_router_needs_no_extension(world: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="router 'r' is subject-level: it reads the label view"):
        extend_router(world, tmp_path, "r")


def test_a_folder_that_cannot_be_written(world: Store, tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.touch()
    with pytest.raises(StoreError, match="the router cannot be written to"):
        train(world, home)


def test_a_retired_expert_is_no_output(world: Store, tmp_path: Path) -> None:
    tables.add_experts(world, cat=1.0)
    routing_world.bring(world, tmp_path, "cat", 0.5, 0.5)
    with world.writing() as connection:
        experts.set_retired(connection, "bob", True)
    assert train(world, tmp_path).outputs == ("ann", "cat")
