"""The quality weights that cascades are learned for, and that curves of accuracy against cost are drawn at."""

from __future__ import annotations

from math import log10

WEIGHTS = (*(1.0 - 10.0 ** (-number / 20) for number in range(60)), 1.0)
"""Even in log(1 - w) from 0 to 0.999, then 1; see `Budget` for what a quality weight is."""


def weight_number(quality_weight: float) -> int:
    """The number of the weight that is nearest in log(1 - w); the last one is for 1 alone."""
    if quality_weight >= 1.0:
        return len(WEIGHTS) - 1
    return min(round(-20.0 * log10(1.0 - quality_weight)), len(WEIGHTS) - 2)
