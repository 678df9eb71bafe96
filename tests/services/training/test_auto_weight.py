"""The weight of `--quality-weight auto`: chosen in training, kept in the artifact, used by every command."""

from __future__ import annotations

from pathlib import Path

import pytest
import routing_world
import tables
from routing_world import APPLES, BRICKS

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.cascades.weights import WEIGHTS
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import current_decider
from benchcoe_jobs.store.session import Store


def test_it_keeps_the_accuracy_at_the_least_cost(store: Store, tmp_path: Path) -> None:
    """bob is right about everything and costs ten times as much as ann, which is right about apples."""
    tables.add_experts(store, ann=1.0, bob=10.0)
    routing_world.bring(store, tmp_path, "ann", 1.0, 0.0)
    routing_world.bring(store, tmp_path, "bob", 1.0, 1.0)
    trained = routing_world.train(store, tmp_path)
    assert trained.auto_weight is not None
    assert (trained.auto_weight.gain, trained.auto_weight.cost_share) == pytest.approx((0.0, 0.55))
    assert trained.auto_weight.weight == max(weight for weight in WEIGHTS if weight < 1)
    decider = current_decider(store, tmp_path, "r")
    chosen = decider.choose([APPLES, BRICKS], Budget(quality_weight="auto"))
    assert [choice.expert for choice in chosen] == ["ann", "bob"]
    assert chosen == decider.choose([APPLES, BRICKS], Budget(quality_weight=trained.auto_weight.weight))


def test_without_costs_there_is_none(store: Store, tmp_path: Path) -> None:
    tables.add_experts(store, ann=None, bob=2.0)
    routing_world.bring(store, tmp_path, "ann", 1.0, 0.5)
    routing_world.bring(store, tmp_path, "bob", 0.0, 1.0)
    assert routing_world.train(store, tmp_path).auto_weight is None
    with pytest.raises(UsageError, match=r"router 'r' has no quality weight of its own: .*add-expert"):
        current_decider(store, tmp_path, "r").choose([APPLES], Budget(quality_weight="auto"))
