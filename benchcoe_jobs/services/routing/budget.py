"""What may be spent on a question: a limit, or a trade of expected score against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError


@dataclass(frozen=True, slots=True)
class Budget:
    """`max_cost` is the most that a query may be expected to cost, None for no limit.

    With `quality_weight` w the choice is the highest w x expected score - (1 - w) x cost, the cost as a
    share of the dearest expert's: 1 asks for quality alone, 0 for the cheapest expert.
    """

    max_cost: float | None = None
    quality_weight: float = 1.0

    @property
    def counts(self) -> bool:
        """Whether costs play a part."""
        return self.max_cost is not None or self.quality_weight < 1.0

    def worth(self, scores: Floats, names: Sequence[str], costs: Mapping[str, float | None]) -> Floats:
        """Expected scores (n, experts) -> what each choice is worth; -inf where it may not be made.

        Raises UsageError for an expert of unknown cost, and where the limit leaves nobody.
        """
        if not self.counts:
            return scores
        if unknown := [name for name in names if costs.get(name) is None]:
            raise UsageError(
                f"what {', '.join(unknown)} costs is not known: costs are read from the answers, and from what "
                "add-expert was told with --cost or --price-in and --price-out"
            )
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
        nobody = np.isnan(worth).all(axis=1)  # all that the router knows of is too dear: the cheapest of the rest
        worth[nobody] = -cost
        return np.where(np.isnan(worth), -np.inf, worth)

    def why(self, cost: float | None) -> str:
        """What is added to a reason."""
        return f"; expected cost {cost:.4g}" if self.counts and cost is not None else ""
