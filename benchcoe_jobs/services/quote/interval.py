"""Totals over questions that are not asked yet, with 80 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

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
    the answers of a micro-batch do.
    """
    known = np.asarray(values, dtype=np.float64)
    draws, new = max(len(known) / per_draw, 2.0), max(n / per_draw, 1.0)
    half = float(t.ppf((1 + _SHARE) / 2, draws - 1) * known.std(ddof=1) * n * np.sqrt(1 / draws + 1 / new))
    total = n * float(known.mean())
    return Interval(total, max(total - half, 0.0), total + half)


def of_alike(means: Sequence[float], n: int) -> Interval:
    """The total of `n` questions by an expert that was not asked any, from the positive means of alike experts.

    Their logarithms are taken as draws from a normal distribution. Of one expert the spread is unknown: a factor of
    three to both sides.
    """
    logs = np.log(np.asarray(means, dtype=np.float64))
    half = np.log(3.0)
    if len(logs) > 1:
        half = t.ppf((1 + _SHARE) / 2, len(logs) - 1) * logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs))
    total = n * float(np.exp(logs.mean()))
    return Interval(total, total / float(np.exp(half)), total * float(np.exp(half)))


def added(parts: Sequence[Interval]) -> Interval:
    """The sum of independent totals; the squares of the half-widths add up."""
    value = sum(part.value for part in parts)
    down = float(np.sqrt(sum((part.value - part.low) ** 2 for part in parts)))
    up = float(np.sqrt(sum((part.high - part.value) ** 2 for part in parts)))
    return Interval(value, max(value - down, 0.0), value + up)
