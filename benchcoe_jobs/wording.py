"""Wording of messages. Standard library only."""

from __future__ import annotations


def counted(n: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: "1 query", "2 queries". `plural` defaults to the singular with an s."""
    return f"{n} {singular if n == 1 else plural or singular + 's'}"


def percent(fraction: float, decimals: int = 1) -> str:
    """A fraction as a percentage: 0.384 -> "38.4 %"."""
    return f"{100 * fraction:.{decimals}f} %"
