"""The quality weights that cascades are learned for, and that curves of accuracy against cost are drawn at."""

from __future__ import annotations

from math import log10

import numpy as np

from benchcoe_jobs.arrays import Floats

WEIGHTS = (*(1.0 - 10.0 ** (-number / 20) for number in range(60)), 1.0)
"""Even in log(1 - w) from 0 to 0.999, then 1; see `Budget` for what a quality weight is."""

# Means that differ by less are equal.
_ROUNDING = 1e-9


def weight_number(quality_weight: float) -> int:
    """The number of the weight that is nearest in log(1 - w); the last one is for 1 alone."""
    if quality_weight >= 1.0:
        return len(WEIGHTS) - 1
    return min(round(-20.0 * log10(1.0 - quality_weight)), len(WEIGHTS) - 2)


def cheapest_keeping(gains: Floats, costs: Floats) -> int | None:
    """The number of the cheapest quality weight whose mean gain is not negative, of equally cheap ones the highest.

    `gains` and `costs` are (quality weights,). None if every gain is negative.
    """
    keeping = np.flatnonzero(gains >= -_ROUNDING)
    if not len(keeping):
        return None
    return int(keeping[costs[keeping] <= costs[keeping].min() + _ROUNDING][-1])
