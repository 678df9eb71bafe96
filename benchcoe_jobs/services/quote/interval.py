"""Totals over questions that are not asked yet, with 80 % intervals.

Standard library only, because every command that starts a job computes some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Interval:
    """An expected total, and the ends of the interval that holds the true one in 80 % of cases."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """The total in another unit."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def of_sample(values: Sequence[float], n: int, per_draw: int = 1) -> Interval:
    """The total of `n` further questions like those with these values: two or more, drawn at random.

    The interval is that of Student's t for the sum of new draws. `per_draw` values share one draw, as the times of
    the answers of a micro-batch do. Of less than two draws the spread is unknown, as in `of_alike`; the values must
    then be positive.
    """
    draws, new = len(values) / per_draw, max(n / per_draw, 1.0)
    if draws < 2:
        return of_alike([fmean(values)], n)
    half = _quantile(draws - 1) * stdev(values) * n * math.sqrt(1 / draws + 1 / new)
    total = n * fmean(values)
    return Interval(total, max(total - half, 0.0), total + half)


def of_alike(means: Sequence[float], n: int) -> Interval:
    """The total of `n` questions by an expert that was not asked any, from the positive means of alike experts.

    Their logarithms are taken as draws from a normal distribution. Of one expert the spread is unknown: a factor of
    three to both sides.
    """
    logs = [math.log(mean) for mean in means]
    half = math.log(3.0)
    if len(logs) > 1:
        half = _quantile(len(logs) - 1) * stdev(logs) * math.sqrt(1 + 1 / len(logs))
    total = n * math.exp(fmean(logs))
    return Interval(total, total / math.exp(half), total * math.exp(half))


def added(parts: Sequence[Interval]) -> Interval:
    """The sum of independent totals; the squares of the half-widths add up."""
    value = sum(part.value for part in parts)
    down = math.sqrt(sum((part.value - part.low) ** 2 for part in parts))
    up = math.sqrt(sum((part.high - part.value) ** 2 for part in parts))
    return Interval(value, max(value - down, 0.0), value + up)


def _quantile(degrees: float) -> float:
    """The end of the interval of Student's t; the series of Abramowitz and Stegun, 26.7.5 (4 % low at one degree)."""
    z = NormalDist().inv_cdf((1 + _SHARE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3
