"""Accuracy against cost, worked out by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import routing_world

from benchcoe_jobs.services.evaluation.cost_curve import WEIGHTS, CostReport, Routed, cost_report

SNAPSHOT = routing_world.snapshot_by_hand(best_single="bob")
SCORES = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
COSTS = np.array([[1.0, 5.0]] * 4)
HALVED = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])


def report(chosen: list[int], **changes: Any) -> CostReport | None:
    costs, scores = np.asarray(changes.get("costs", COSTS)), np.asarray(changes.get("scores", SCORES))
    at = changes.pop("chosen_at", lambda weight: np.full(4, int(weight >= 0.5)))

    def routed(columns: Any) -> Routed:
        return Routed(scores[np.arange(4), columns], costs[np.arange(4), columns])

    given = {
        "scores": SCORES,
        "costs": COSTS,
        "snapshot": SNAPSHOT,
        "seconds": 0.5,
        "second_price": 0.0,
        "routed": routed(chosen),
        "routed_at": lambda weight: routed(at(weight)),
    }
    return cost_report(**given | changes)


def test_a_report_by_hand() -> None:
    found = report([0, 0, 1, 1])
    assert found is not None
    assert (found.router.cost, found.router.accuracy) == (3.0, 0.75)
    assert (found.cheapest.name, found.cheapest.cost, found.cheapest.accuracy) == ("ann", 1.0, 0.25)
    assert (found.best_single.name, found.best_single.cost, found.best_single.accuracy) == ("bob", 5.0, 0.75)
    assert (found.mix.name, found.mix.cost, found.mix.accuracy) == ("50 % bob, else ann", 3.0, 0.5)
    assert found.gain_over_mix == 0.25
    assert found.frontiers is not None
    assert [point.name for point in found.frontiers.experts] == ["ann", "bob"]
    assert (found.frontiers.same_accuracy_cost["value"], found.frontiers.same_accuracy_cost["high"]) == (1.0, 1.0)
    assert (found.frontiers.area, found.frontiers.experts_area) == (0.5, 0.5)
    assert "at no lower cost" in found.frontiers.headline
    assert [point.name for point in found.curve] == [f"{weight:g}" for weight in WEIGHTS]
    assert [point.accuracy for point in found.curve] == [0.25 if weight < 0.5 else 0.75 for weight in WEIGHTS]


def test_a_router_that_saves_half_of_the_cost() -> None:
    """It is as good as bob at a cost of 3 instead of 5: the area under (1, 0.25), (3, 0.75), (5, 0.75) is 2.5 / 4."""
    found = report([0, 0, 1, 1], chosen_at=lambda weight: np.array([0, 0, 1, 1]) * int(weight >= 0.5), scores=HALVED)
    assert found is not None
    assert found.frontiers is not None
    assert found.frontiers.same_accuracy_cost["value"] == pytest.approx(0.6)
    assert (found.frontiers.area, found.frontiers.experts_area) == pytest.approx((0.625, 0.5))
    assert found.frontiers.area_gain["value"] == pytest.approx(0.125)
    assert found.frontiers.area_gain["low"] <= 0.125 <= found.frontiers.area_gain["high"]
    assert "at 60 % of its cost, 95 % interval [" in found.frontiers.headline


def test_a_report_of_an_earlier_release_is_read() -> None:
    found = report([0, 0, 1, 1])
    assert found is not None
    stored = asdict(found)
    del stored["frontiers"]
    assert CostReport.from_json(stored).frontiers is None


def test_the_routers_own_seconds_count_in_all_of_its_costs() -> None:
    free, paid = report([0, 0, 1, 1]), report([0, 0, 1, 1], second_price=4.0)
    assert free is not None
    assert paid is not None
    assert (paid.router.cost, paid.curve[0].cost) == (free.router.cost + 2.0, free.curve[0].cost + 2.0)
    assert (paid.cheapest, paid.best_single, paid.router_seconds) == (free.cheapest, free.best_single, 0.5)


@pytest.mark.parametrize(("chosen", "price", "expert"), [([0, 0, 0, 0], 0.0, "ann"), ([1, 1, 1, 1], 100.0, "bob")])
def test_the_mix_stops_at_its_ends(chosen: list[int], price: float, expert: str) -> None:
    found = report(chosen, second_price=price)
    assert found is not None
    assert found.mix.name == expert


def test_experts_of_equal_cost() -> None:
    found = report([0, 0, 1, 1], costs=np.ones((4, 2)))
    assert found is not None
    assert (found.mix.cost, found.mix.accuracy) == (1.0, found.best_single.accuracy)


def test_unknown_costs_give_no_report() -> None:
    assert report([0, 0, 1, 1], costs=np.where(COSTS == 5.0, np.nan, COSTS)) is None
    unknown = routing_world.snapshot_by_hand(costs={"ann": 1.0, "bob": None})
    assert report([0, 0, 1, 1], snapshot=unknown) is None


def test_json_there_and_back() -> None:
    found = report([0, 0, 1, 1])
    assert found is not None
    assert CostReport.from_json(asdict(found)) == found
