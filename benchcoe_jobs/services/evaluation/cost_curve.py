"""Accuracy against cost: the router at several prices of quality, and the baselines that a claim needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Choice, Decider, Estimates

WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)


@dataclass(frozen=True, slots=True)
class Point:
    """What a way to route costs a query on average, and how often it is right."""

    name: str
    cost: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class CostReport:
    """A router beside its baselines, over the same queries; costs are means per query.

    `cheapest` is the expert of the lowest expected cost on the training split. `mix` sends a random
    share of the queries to the best single expert and the others to the cheapest, so that it costs
    what the router costs (as near as the two reach); `gain_over_mix` is the router's accuracy less
    the mix's. `curve` has the router at several quality weights. The router's own cost is in all of its
    figures: `router_seconds`, wall time per query in this evaluation, times the price of a second.
    """

    router: Point
    cheapest: Point
    best_single: Point
    mix: Point
    gain_over_mix: float
    router_seconds: float
    curve: list[Point]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The report back from its `asdict`."""
        points = {name: Point(**data[name]) for name in ("router", "cheapest", "best_single", "mix")}
        return cls(**{**data, **points, "curve": [Point(**point) for point in data["curve"]]})


def cost_report(
    decider: Decider,
    estimates: Estimates,
    choices: Sequence[Choice],
    scores: NDArray[np.float64],
    costs: NDArray[np.float64],
    names: Sequence[str],
    max_cost: float | None,
    seconds: float,
    second_price: float,
) -> CostReport | None:
    """None where the cost of an expert or of an answer is not known.

    `estimates` and `choices` are of the queries of `scores` and `costs` (queries, experts), whose columns are `names`.
    """
    expected = [decider.costs.get(name) for name in names]
    if np.isnan(costs).any() or any(cost is None for cost in expected):
        return None
    own = seconds * second_price

    def point(name: str, picked: Sequence[str]) -> Point:
        at = np.arange(len(scores)), np.array([names.index(expert) for expert in picked])
        return Point(name, float(costs[at].mean()), float(scores[at].mean()))

    def routed(name: str, made: Sequence[Choice]) -> Point:
        bare = point(name, [choice.expert for choice in made])
        return Point(bare.name, bare.cost + own, bare.accuracy)

    router = routed(decider.router.name, choices)
    low = names[int(np.argmin(np.array(expected, dtype=np.float64)))]
    cheapest, best = (point(name, [name] * len(scores)) for name in (low, decider.best_single))
    mix = _mix(cheapest, best, router.cost)
    curve = [routed(f"{w:g}", decider.pick(estimates, Budget(max_cost, w))) for w in WEIGHTS]
    return CostReport(router, cheapest, best, mix, router.accuracy - mix.accuracy, seconds, curve)


def _mix(cheapest: Point, best: Point, cost: float) -> Point:
    """The random mix of the two at a cost, or the end that is nearer to it."""
    span = best.cost - cheapest.cost
    share = float(np.clip((cost - cheapest.cost) / span, 0.0, 1.0)) if span else 1.0
    return Point(
        f"{share:.0%} {best.name}, else {cheapest.name}",
        cheapest.cost + share * span,
        cheapest.accuracy + share * (best.accuracy - cheapest.accuracy),
    )
