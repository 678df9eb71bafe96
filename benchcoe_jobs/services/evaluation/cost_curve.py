"""Accuracy against cost: the router at many quality weights, and the baselines that it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.cascades.weights import WEIGHTS
from benchcoe_jobs.services.evaluation.frontier import Frontier
from benchcoe_jobs.services.intervals import percentile_interval, resampled_means
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot
from benchcoe_jobs.wording import percent


@dataclass(frozen=True, slots=True)
class Point:
    """A way to route: its mean cost of a query, and its accuracy as a fraction."""

    name: str
    cost: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Routed:
    """Scores and costs (queries,) of what a router gave; a cascade's costs are those of all answers it asked for."""

    scores: Floats
    costs: Floats


@dataclass(frozen=True, slots=True)
class Frontiers:
    """The frontier of a router against that of experts alone, both in hindsight: see `Frontier`.

    The router's has its points at all quality weights, and the cheapest and the best single expert, which can be asked
    without it. `same_accuracy_cost` is the cost of the best single expert's accuracy on it, as a share of that expert's
    cost: 1 if no quality weight saves anything. `area` and `experts_area` are the mean accuracies along both frontiers,
    over the costs from the cheapest expert to the most accurate one; `area_gain` is their difference. `experts` are the
    corners of the experts' frontier, and `router` those of the router's, cheapest first. `same_accuracy_cost` and
    `area_gain` have `value` and a 95 % bootstrap interval over queries; each resample has frontiers of its own.
    """

    same_accuracy_cost: dict[str, float]
    area: float
    experts_area: float
    area_gain: dict[str, float]
    experts: list[Point]
    router: list[Point]

    @property
    def headline(self) -> str:
        """What the router saves, as the end of a sentence about it."""
        if self.same_accuracy_cost["value"] >= 1.0:
            return (
                "has the best single expert's accuracy at no lower cost than that expert, whatever its quality weight"
            )
        value, low, high = (percent(self.same_accuracy_cost[part], 0) for part in ("value", "low", "high"))
        return (
            f"has the best single expert's accuracy at {value} of its cost, 95 % interval [{low}, {high}], at the best "
            "of its quality weights"
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The frontiers back from their `asdict`."""
        corners = {name: [Point(**point) for point in data[name]] for name in ("experts", "router")}
        return cls(**{**data, **corners})


@dataclass(frozen=True, slots=True)
class CostReport:
    """A router and its baselines over the same queries; costs are means per query.

    `cheapest` is the expert with the lowest expected cost on the training split. `mix` is the random mix of experts
    on their frontier that costs as much as the router (or as near to it as they allow); `gain_over_mix` is the router's
    accuracy minus the mix's. `curve` has the router at every quality weight of `WEIGHTS`. Every cost of the router
    includes its own work: `router_seconds`, the wall time per query in this evaluation, times the price of a second.
    `frontiers` is None in reports of earlier releases, whose `mix` is one of the cheapest and the best single expert.
    """

    router: Point
    cheapest: Point
    best_single: Point
    mix: Point
    gain_over_mix: float
    router_seconds: float
    curve: list[Point]
    frontiers: Frontiers | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The report back from its `asdict`."""
        points = {name: Point(**data[name]) for name in ("router", "cheapest", "best_single", "mix")}
        frontiers = Frontiers.from_json(found) if (found := data.get("frontiers")) else None
        return cls(**{**data, **points, "curve": [Point(**p) for p in data["curve"]], "frontiers": frontiers})


def cost_report(
    snapshot: RoutingSnapshot,
    scores: Floats,
    costs: Floats,
    routed: Routed,
    routed_at: Callable[[float], Routed],
    seconds: float,
    second_price: float,
) -> CostReport | None:
    """The costs of a router's choices; None if the cost of an expert or of an answer is unknown.

    `scores` and `costs` are (queries, eligible experts). `routed` is what the decisions gave, and `routed_at` gives the
    same at a quality weight; it is called only if all costs are known.
    """
    names = snapshot.eligible
    expected = [snapshot.costs.get(name) for name in names]
    if np.isnan(costs).any() or any(cost is None for cost in expected):
        return None
    own = seconds * second_price
    at_weights = [routed_at(weight) for weight in WEIGHTS]
    at_weight = np.column_stack([at.scores for at in at_weights])
    paid = np.column_stack([at.costs for at in at_weights]) + own
    singles = _points(names, scores, costs)
    curve = _points([f"{weight:g}" for weight in WEIGHTS], at_weight, paid)
    cheapest = singles[int(np.argmin(np.array(expected, dtype=np.float64)))]
    best = singles[names.index(snapshot.best_single)]
    frontiers = _frontiers(np.hstack([scores, at_weight]), np.hstack([costs, paid]), singles, curve, cheapest, best)
    router = Point(snapshot.router.name, float(routed.costs.mean()) + own, float(routed.scores.mean()))
    mix = _mix(frontiers.experts, router.cost)
    return CostReport(router, cheapest, best, mix, router.accuracy - mix.accuracy, seconds, curve, frontiers)


def _points(names: Sequence[str], scores: Floats, costs: Floats) -> list[Point]:
    """The points of some ways to route, from their scores and costs (queries, ways)."""
    means = zip(names, costs.mean(axis=0).tolist(), scores.mean(axis=0).tolist(), strict=True)
    return [Point(*point) for point in means]


def _frontiers(
    scores: Floats, costs: Floats, singles: list[Point], curve: list[Point], cheapest: Point, best: Point
) -> Frontiers:
    """The frontiers of `singles` and `curve`, whose scores and costs are (queries, singles and curve)."""
    n_singles, alone = len(singles), [singles.index(cheapest), singles.index(best)]
    ways = np.array([*alone, *range(n_singles, scores.shape[1])])

    def both(mean_costs: Floats, means: Floats) -> tuple[Frontier, Frontier]:
        return Frontier.of(mean_costs[:n_singles], means[:n_singles]), Frontier.of(mean_costs[ways], means[ways])

    def figures(mean_costs: Floats, means: Floats) -> tuple[float, float, float]:
        of_experts, of_router = both(mean_costs, means)
        ends = of_experts.costs[0], of_experts.costs[-1]
        paid = float(mean_costs[alone[1]])
        return (
            of_router.cost_of(float(means[alone[1]])) / paid if paid else 1.0,
            of_router.mean_accuracy(*ends),
            of_experts.mean_accuracy(*ends),
        )

    means, mean_costs = scores.mean(axis=0), costs.mean(axis=0)
    saved, area, of_experts = figures(mean_costs, means)
    columns = scores.shape[1]
    drawn = resampled_means(np.hstack([costs, scores]))
    resampled = np.array([figures(row[:columns], row[columns:]) for row in drawn])
    corners, of_router = both(mean_costs, means)
    points = [*singles, *curve]
    return Frontiers(
        same_accuracy_cost=_interval(saved, resampled[:, 0]),
        area=area,
        experts_area=of_experts,
        area_gain=_interval(area - of_experts, resampled[:, 1] - resampled[:, 2]),
        experts=[singles[corner] for corner in corners.points],
        router=[points[ways[corner]] for corner in of_router.points],
    )


def _interval(value: float, resampled: Floats) -> dict[str, float]:
    low, high = percentile_interval(resampled)
    return {"value": value, "low": low, "high": high}


def _mix(experts: Sequence[Point], cost: float) -> Point:
    """The random mix of two neighbours on a frontier of experts at a cost, or the expert that is nearest to it."""
    above = next((number for number, point in enumerate(experts) if point.cost >= cost), len(experts) - 1)
    low, high = experts[max(above - 1, 0)], experts[above]
    span = high.cost - low.cost
    share = float(np.clip((cost - low.cost) / span, 0.0, 1.0)) if span else 1.0
    name = high.name if share == 1.0 else f"{percent(share, 0)} {high.name}, else {low.name}"
    return Point(name, low.cost + share * span, low.accuracy + share * (high.accuracy - low.accuracy))
