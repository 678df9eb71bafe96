"""The frontier of accuracy against cost: the upper hull of ways to route, and of the random mixes between them.

With it alone, experts without a router are the zero-router of RouterBench (Hu et al., arXiv 2403.12031, section 3.2):
a router pays where it lies above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats


@dataclass(frozen=True, slots=True)
class Frontier:
    """The corners of an upper hull, cheapest first: both `costs` and `accuracies` (corners,) rise from one to the next.

    `points` (corners,) are their positions among the points that the hull was made of.
    """

    costs: Floats
    accuracies: Floats
    points: NDArray[np.intp]

    @classmethod
    def of(cls, costs: Floats, accuracies: Floats) -> Self:
        """The frontier of some points, both (n,) with n >= 1. Of equal points the first is a corner."""
        corners: list[int] = []
        for point in np.lexsort((-accuracies, costs)).tolist():
            if corners and accuracies[point] <= accuracies[corners[-1]]:  # not more accurate than a cheaper one
                continue
            while len(corners) > 1 and _is_below(costs, accuracies, corners[-2], corners[-1], point):
                corners.pop()
            corners.append(point)
        found = np.array(corners, dtype=np.intp)
        return cls(costs[found], accuracies[found], found)

    def accuracy_at(self, cost: float) -> float:
        """The accuracy that a mix reaches at a cost; that of the nearest end if no mix has the cost."""
        return float(np.interp(cost, self.costs, self.accuracies))

    def cost_of(self, accuracy: float) -> float:
        """The cost of the cheapest mix with an accuracy; that of the nearest end if no mix has the accuracy."""
        return float(np.interp(accuracy, self.accuracies, self.costs))

    def mean_accuracy(self, low: float, high: float) -> float:
        """The area under the frontier from one cost to another, divided by their difference."""
        if high <= low:
            return self.accuracy_at(low)
        costs = np.unique(np.clip([low, high, *self.costs], low, high))
        return float(np.trapezoid(np.interp(costs, self.costs, self.accuracies), costs) / (high - low))


def _is_below(costs: Floats, accuracies: Floats, first: int, middle: int, last: int) -> bool:
    """Whether a point lies on or below the line between two others."""
    rise, run = accuracies[last] - accuracies[first], costs[last] - costs[first]
    return bool((accuracies[middle] - accuracies[first]) * run <= rise * (costs[middle] - costs[first]))
