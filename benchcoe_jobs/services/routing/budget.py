"""The budget of a decision: a limit on the cost of a query, or a trade of expected score against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Budget:
    """`max_cost` is the highest expected cost that a query may have; None sets no limit.

    With `quality_weight` w the choice is the highest w x expected score - (1 - w) x cost, the cost as a share of the
    dearest expert's: 1 asks for quality alone, 0 for the cheapest expert. `AUTO` stands for the weight that the router
    was trained with, see `TrainedRouter`.
    """

    max_cost: float | None = None
    quality_weight: float | Literal["auto"] = 1.0

    @property
    def counts(self) -> bool:
        """Whether costs have any influence."""
        return self.max_cost is not None or self.quality_weight != 1.0

    def settled(self, own: float | None, router: str) -> Budget:
        """The budget with a number for its weight; `own` is that of the router with the name `router`.

        Raises UsageError if the weight is `AUTO` and the router has none.
        """
        if self.quality_weight != AUTO:
            return self
        if own is None:
            raise UsageError(
                f"router {router!r} has no quality weight of its own: in its training, the cost of an expert was not "
                "known, or no question had a score of every expert. Set costs with `benchcoe-jobs add-expert`, then "
                "train it again with `benchcoe-jobs train-router`"
            )
        return replace(self, quality_weight=own)

    def worth(self, scores: Floats, names: Sequence[str], costs: Mapping[str, float | None]) -> Floats:
        """Expected scores (n, experts) -> the worth of each choice, -inf for a choice that must not be made.

        A score of -inf is unknown. If every expert with a known score is too dear for a question, the cheapest expert
        within the limit is worth most. The budget must be `settled`. Raises UsageError if the cost of an expert is
        unknown, and if the limit excludes every expert.
        """
        if not self.counts:
            return scores
        if self.quality_weight == AUTO:
            raise ValueError("the quality weight must be settled")
        require_costs(names, costs)
        cost = np.array([costs[name] for name in names], dtype=np.float64)
        worth = self.quality_weight * np.where(np.isfinite(scores), scores, np.nan)
        worth = worth - (1.0 - self.quality_weight) * cost / (cost.max() or 1.0)
        if self.max_cost is not None:
            if (cost > self.max_cost).all():
                cheapest = int(cost.argmin())
                raise UsageError(
                    f"no expert is expected to cost at most {self.max_cost:g} a query: the cheapest is "
                    f"{names[cheapest]} with {cost[cheapest]:.4g}"
                )
            worth[:, cost > self.max_cost] = np.nan
        unaffordable = np.isnan(worth).all(axis=1)
        worth[unaffordable] = -cost
        return np.where(np.isnan(worth), -np.inf, worth)

    def why(self, cost: float | None) -> str:
        """The part about cost of a decision's reason; empty if costs have no influence."""
        return f"; expected cost {cost:.4g}" if self.counts and cost is not None else ""


def require_costs(names: Sequence[str], costs: Mapping[str, float | None]) -> None:
    """Raise UsageError if the cost of an expert is unknown."""
    if unknown := [name for name in names if costs.get(name) is None]:
        raise UsageError(
            f"the cost of {', '.join(unknown)} is not known: it comes from the recorded answers, or from "
            "`benchcoe-jobs add-expert` with --cost, or with --price-in and --price-out"
        )
