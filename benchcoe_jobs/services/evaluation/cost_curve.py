"""Accuracy against cost: the router at several quality weights, and the baselines that it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot
from benchcoe_jobs.wording import percent

WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
"""The quality weights of the curve; see `Budget`."""


@dataclass(frozen=True, slots=True)
class Point:
    """A way to route: its mean cost of a query, and its accuracy as a fraction."""

    name: str
    cost: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class CostReport:
    """A router and its baselines over the same queries; costs are means per query.

    `cheapest` is the expert with the lowest expected cost on the training split. `mix` sends a random
    share of the queries to the best single expert and the others to the cheapest, so that it costs
    as much as the router (or as near to it as the two experts allow); `gain_over_mix` is the router's accuracy
    minus the mix's. `curve` has the router at several quality weights. Every cost of the router includes its own
    work: `router_seconds`, the wall time per query in this evaluation, times the price of a second.
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
    snapshot: RoutingSnapshot,
    scores: Floats,
    costs: Floats,
    chosen: NDArray[np.intp],
    chosen_at: Callable[[float], NDArray[np.intp]],
    seconds: float,
    second_price: float,
) -> CostReport | None:
    """The costs of a router's choices; None if the cost of an expert or of an answer is unknown.

    `scores` and `costs` are (queries, eligible experts). `chosen` (queries,) has the column of each decision,
    `chosen_at` gives the same at a quality weight; it is called only if all costs are known.
    """
    names = snapshot.eligible
    expected = [snapshot.costs.get(name) for name in names]
    if np.isnan(costs).any() or any(cost is None for cost in expected):
        return None
    rows = np.arange(len(scores))

    def point(name: str, columns: NDArray[np.intp], extra: float = 0.0) -> Point:
        return Point(name, float(costs[rows, columns].mean()) + extra, float(scores[rows, columns].mean()))

    def single(name: str) -> Point:
        return point(name, np.full(len(scores), names.index(name)))

    router_cost = seconds * second_price
    router = point(snapshot.router.name, chosen, router_cost)
    cheapest = single(names[int(np.argmin(np.array(expected, dtype=np.float64)))])
    best = single(snapshot.best_single)
    mix = _mix(cheapest, best, router.cost)
    curve = [point(f"{weight:g}", chosen_at(weight), router_cost) for weight in WEIGHTS]
    return CostReport(router, cheapest, best, mix, router.accuracy - mix.accuracy, seconds, curve)


def _mix(cheapest: Point, best: Point, cost: float) -> Point:
    """The random mix of two experts at a cost, or the expert whose cost is nearer to it."""
    span = best.cost - cheapest.cost
    share = float(np.clip((cost - cheapest.cost) / span, 0.0, 1.0)) if span else 1.0
    return Point(
        f"{percent(share, 0)} {best.name}, else {cheapest.name}",
        cheapest.cost + share * span,
        cheapest.accuracy + share * (best.accuracy - cheapest.accuracy),
    )
