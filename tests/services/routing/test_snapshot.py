"""Routing snapshots: what they hold, how they are stored, and what makes another one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import routing_world
import tables

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, keep_snapshot, snapshot_of, take_snapshot
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.session import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


def taken(store: Store) -> RoutingSnapshot:
    with store.reading() as connection:
        return take_snapshot(connection, "r")


def just_above(value: float) -> float:
    return float(np.nextafter(value, 2.0))


def test_a_snapshot_by_hand(world: Store) -> None:
    snapshot = taken(world)
    assert (snapshot.router.name, snapshot.router.scope.pool.name, snapshot.router.policy) == ("r", "all", Policy.BEST)
    assert list(snapshot.members) == snapshot.eligible == ["ann", "bob"]
    assert {subject: label.expert for subject, label in snapshot.labels.items()} == {"apples": "ann", "bricks": "bob"}
    assert snapshot.means == {
        "apples": {"ann": just_above(1.0), "bob": 0.0},
        "bricks": {"ann": 0.5, "bob": just_above(1.0)},
    }
    assert (snapshot.best_single, snapshot.overall) == ("ann", {"ann": just_above(0.75), "bob": 0.5})
    assert snapshot.costs == {"ann": 1.0, "bob": 2.0}
    assert snapshot.expert_names == {snapshot.members[name]: name for name in ("ann", "bob")}


def test_a_subject_whose_label_no_expert_earns_goes_to_the_best_single_expert(world: Store, tmp_path: Path) -> None:
    """Both experts have 0 on cranes; bob, who is cheaper by then, would have the label by the tie-break."""
    for name in ("ann", "bob"):
        tables.bring(world, tmp_path, name, *(routing_world.row("cranes", n, 0.0) for n in range(5)), new_subjects=True)
    with world.writing() as connection:
        experts.add_expert(connection, experts.ExpertRow("bob", "echo", "echo", cost=0.5))
    snapshot = taken(world)
    assert snapshot.labels["cranes"].expert is None
    assert snapshot.means["cranes"] == {"ann": just_above(0.0), "bob": 0.0}
    assert RoutingSnapshot.from_json(json.loads(json.dumps(snapshot.as_json()))) == snapshot


def test_json_gives_the_same_snapshot_back(world: Store) -> None:
    snapshot = taken(world)
    content = json.loads(json.dumps(snapshot.as_json()))
    assert RoutingSnapshot.from_json(content) == snapshot
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert snapshot.fingerprint == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_kept_snapshot_is_read_back_and_stored_once(world: Store) -> None:
    with world.writing() as connection:
        kept = keep_snapshot(connection, None)
        stored = snapshots.snapshot_id(connection, kept.fingerprint)
        assert keep_snapshot(connection, "r") == kept
        assert snapshots.snapshot_id(connection, kept.fingerprint) == stored is not None
    with world.reading() as connection:
        assert snapshot_of(connection, {"snapshot": kept.fingerprint}, "evaluate") == kept


def test_a_request_without_a_snapshot_names_the_command(world: Store) -> None:
    with world.reading() as connection, pytest.raises(UsageError) as refused:
        snapshot_of(connection, {"router": "r"}, "submit")
    assert str(refused.value) == (
        "the job has no routing snapshot, because its router was removed or a release before 0.2.0 submitted it: "
        "submit it again with `benchcoe-jobs submit`"
    )


def test_pool_policy_labels_and_costs_each_make_another_snapshot(world: Store, tmp_path: Path) -> None:
    found = [taken(world)]
    routing_world.train(world, tmp_path, pool="bobs")
    found.append(taken(world))
    options = {"kind": "tfidf", "head": None, "benchmark": None, "split": "train", "max_fallback": 0.0}
    train_router(world, tmp_path, "r", level=Level.SUBJECT, pool="all", policy=Policy.ABSTAIN, **options)
    found.append(taken(world))
    assert len({snapshot.router.artifact for snapshot in found}) == 1, "the model is the same for each of them"
    routing_world.train(world, tmp_path)
    assert taken(world).router.policy is Policy.BEST
    with world.writing() as connection:
        experts.set_retired(connection, "bob", True)
    found.append(taken(world))
    with world.writing() as connection:
        experts.set_retired(connection, "bob", False)
        experts.add_expert(connection, experts.ExpertRow("ann", "echo", "echo", cost=9.0))
    found.append(taken(world))
    assert len({snapshot.fingerprint for snapshot in found}) == 5
    with world.writing() as connection:
        experts.add_expert(connection, experts.ExpertRow("ann", "echo", "echo", cost=1.0))
    assert taken(world) == found[0], "what is back as it was has the same fingerprint again"


def test_no_router_and_no_best_single_expert(store: Store, tmp_path: Path) -> None:
    with store.reading() as connection, pytest.raises(UsageError, match="the store has no routers: train one with"):
        take_snapshot(connection, None)
    routing_world.fill(store, tmp_path)
    with store.reading() as connection, pytest.raises(UsageError, match="unknown router 'q'; the store has r"):
        take_snapshot(connection, "q")
    with store.writing() as connection:
        for name in ("ann", "bob"):
            experts.set_retired(connection, name, True)
    with store.reading() as connection, pytest.raises(UsageError, match="best single expert"):
        take_snapshot(connection, "r")


def test_recorded_costs_come_before_the_experts_own(world: Store, tmp_path: Path) -> None:
    rows = [routing_world.row("apples", n, 1.0) | {"cost": 8.0} for n in (100, 101)]
    tables.bring(world, tmp_path, "bob", *rows)  # 2 of bob's 42 answers; the others cost 2 each
    assert taken(world).costs == {"ann": 1.0, "bob": pytest.approx((40 * 2 + 2 * 8) / 42)}
