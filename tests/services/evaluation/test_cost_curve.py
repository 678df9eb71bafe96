"""Accuracy against cost, worked out by hand."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import routing_world

from benchcoe_jobs.services.evaluation.cost_curve import WEIGHTS, CostReport, cost_report

SNAPSHOT = routing_world.snapshot_by_hand(best_single="bob")
SCORES = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
COSTS = np.array([[1.0, 5.0]] * 4)


def report(chosen: list[int], **changes: object) -> CostReport | None:
    given = {"costs": COSTS, "snapshot": SNAPSHOT, "seconds": 0.5, "second_price": 0.0} | changes
    return cost_report(
        scores=SCORES,
        chosen=np.array(chosen),
        chosen_at=lambda weight: np.full(4, int(weight >= 0.5)),
        **given,  # type: ignore[arg-type]
    )


def test_a_report_by_hand() -> None:
    found = report([0, 0, 1, 1])
    assert found is not None
    assert (found.router.cost, found.router.accuracy) == (3.0, 0.75)
    assert (found.cheapest.name, found.cheapest.cost, found.cheapest.accuracy) == ("ann", 1.0, 0.25)
    assert (found.best_single.name, found.best_single.cost, found.best_single.accuracy) == ("bob", 5.0, 0.75)
    assert (found.mix.name, found.mix.cost, found.mix.accuracy) == ("50 % bob, else ann", 3.0, 0.5)
    assert found.gain_over_mix == 0.25
    assert [point.name for point in found.curve] == [f"{weight:g}" for weight in WEIGHTS]
    assert [point.accuracy for point in found.curve] == [0.25 if weight < 0.5 else 0.75 for weight in WEIGHTS]


def test_the_routers_own_seconds_count_in_all_of_its_costs() -> None:
    free, paid = report([0, 0, 1, 1]), report([0, 0, 1, 1], second_price=4.0)
    assert free is not None
    assert paid is not None
    assert (paid.router.cost, paid.curve[0].cost) == (free.router.cost + 2.0, free.curve[0].cost + 2.0)
    assert (paid.cheapest, paid.best_single, paid.router_seconds) == (free.cheapest, free.best_single, 0.5)


@pytest.mark.parametrize(("chosen", "price", "share"), [([0, 0, 0, 0], 0.0, "0 %"), ([1, 1, 1, 1], 100.0, "100 %")])
def test_the_mix_stops_at_its_ends(chosen: list[int], price: float, share: str) -> None:
    found = report(chosen, second_price=price)
    assert found is not None
    assert found.mix.name == f"{share} bob, else ann"


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
