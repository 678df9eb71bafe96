"""Scoring by log-likelihoods: the continuation that a model finds most probable."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence


def stored_likelihoods(text: str, count: int) -> tuple[float, ...] | None:
    """The log-likelihoods of a `base.stored_text`; None if the text is not a JSON list of `count` numbers.

    Minus infinity is a number (a probability of 0), NaN is not.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, list) or len(values) != count:
            return None
        numbers = tuple(float(value) for value in values if type(value) in (int, float))
    except (ValueError, OverflowError, RecursionError):
        return None
    return numbers if len(numbers) == count and not any(map(math.isnan, numbers)) else None


def best(values: Sequence[float]) -> int | None:
    """The index of the highest value; None if two are highest or none is above minus infinity.

    The official harness takes the first of equal values, which is a guess.
    """
    highest = max(values)
    return values.index(highest) if math.isfinite(highest) and values.count(highest) == 1 else None
