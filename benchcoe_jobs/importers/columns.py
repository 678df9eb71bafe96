"""Values of a row, checked. Each function raises RowError with a reason that names the column."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from decimal import Decimal
from typing import Any

from benchcoe_jobs.domain import Split

Row = Mapping[str, Any]
"""A row by column; what is missing is absent, None or the empty string (CSV has nothing else)."""

MAX_COUNT = 2**31 - 1
"""What the store's integer columns hold."""

_NUMERIC = (str, int, float, Decimal)


class RowError(ValueError):
    """Why a row cannot be used. Becomes a SkippedRow; never leaves the importers."""


class DuplicateGuard:
    """Where each row's identity was seen first, to refuse its duplicates."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, int] = {}

    def claim(self, line: int, what: str, *identity: Hashable) -> None:
        """Raises RowError where an earlier line has the same identity."""
        first = self._lines.setdefault(identity, line)
        if first != line:
            raise RowError(f"{what} has a row already, in line {first}")


def shown(value: object) -> str:
    """A value as a reason quotes it: short enough for one line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def checked(column: str, text: str) -> str:
    """A text that both databases can store: no NUL (PostgreSQL), no lone surrogate (both)."""
    if "\0" in text:
        raise RowError(f"{column} holds a NUL character, which cannot be stored")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RowError(f"{column} holds half a surrogate pair, which cannot be stored") from None
    return text


def text(row: Row, column: str) -> str | None:
    """A text as it stands, or None where there is none."""
    value = row.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RowError(f"{column} {shown(value)} is not text")
    return checked(column, value)


def name(row: Row, column: str) -> str | None:
    """A name or key, without the blanks around it, or None where there is none. Whole numbers will do."""
    value = row.get(column)
    if isinstance(value, str):
        return checked(column, value.strip()) or None
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowError(f"{column} {shown(value)} is not text")


def needed(row: Row, column: str) -> str:
    """Like `name`, but it must be there."""
    found = name(row, column)
    if found is None:
        raise RowError(f"{column} is empty" if column in row else f"{column} is missing")
    return found


def benchmark_of(row: Row, given: str | None) -> str:
    """The benchmark that a row is about; it may be left out where the command names one."""
    named = name(row, "benchmark") if given else needed(row, "benchmark")
    if given and named and named != given:
        raise RowError(f"the row is about benchmark {named!r}, not {given!r}")
    return given or named or ""


def score(row: Row) -> float:
    """A score in [0, 1]."""
    value = _number(row, "score")
    if value is None:
        raise RowError("score is empty" if "score" in row else "score is missing")
    if 0 <= value <= 1:
        return value
    hint = "; divide percentages by 100" if 1 < value <= 100 else ""
    raise RowError(f"score {shown(row['score'])} is not between 0 and 1{hint}")


def cost(row: Row) -> float | None:
    """A cost of zero or more, in the unit of the expert's own cost."""
    value = _number(row, "cost")
    if value is not None and value < 0:
        raise RowError(f"cost {shown(row['cost'])} is negative")
    return value


def count(row: Row, column: str, *, least: int) -> int | None:
    """A whole number of at least `least`. 12.0 is one: pandas writes it where a column has gaps."""
    value = _number(row, column)
    if value is None:
        return None
    if not value.is_integer() or not least <= value <= MAX_COUNT:
        raise RowError(f"{column} {shown(row[column])} is not a whole number from {least} to {MAX_COUNT}")
    return int(value)


def split(row: Row) -> Split | None:
    """A split, by its name in any case."""
    found = name(row, "split")
    if found is None:
        return None
    try:
        return Split(found.lower())
    except ValueError:
        raise RowError(f"unknown split {shown(found)}; known are {', '.join(Split)}") from None


def choices(row: Row) -> tuple[str, ...]:
    """The choices of a query: a list of texts, in CSV as JSON."""
    value = row.get("choices")
    if not value and isinstance(value, str | None):
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise RowError(f"choices {shown(value)} is no JSON list") from None
    return texts("choices", value)


def texts(column: str, value: object) -> tuple[str, ...]:
    """A list of texts."""
    try:
        if not isinstance(value, list):
            raise TypeError
        checked(column, "".join(value))  # TypeError at the first that is no text, faster than asking each
    except TypeError:
        raise RowError(f"{column} {shown(value)} is no list of texts") from None
    return tuple(value)


def _number(row: Row, column: str) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, _NUMERIC):
            raise TypeError
        if isinstance(value, str) and "_" in value:  # a digit separator to Python, a slip in data
            raise ValueError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise RowError(f"{column} {shown(value)} is not a number") from None
    if not math.isfinite(number):
        raise RowError(f"{column} {shown(value)} is not a finite number")
    return number
