"""Checked values of a row. The functions raise RowError with a reason that names the column."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Hashable, Mapping
from decimal import Decimal
from typing import Any

from benchcoe_jobs.domain import Scale, Split

Row = Mapping[str, Any]
"""A row by column. A missing value is absent, None or the empty string (in CSV always the latter)."""

MAX_COUNT = 2**31 - 1
"""The largest value of the integer columns of the store."""

MAX_LITERAL = 100_000
"""The longest list in Python syntax, in characters: far longer than any in the data, and harmless to the parser."""

_EXACT = 2**53
"""Below it, every whole number is a float."""

_NUMERIC = (str, int, float, Decimal)


class RowError(ValueError):
    """The reason that a row cannot be used. It becomes a SkippedRow, and is not raised outside the importers."""


class FileError(ValueError):
    """The reason that a value makes the whole file unusable. `rows.converted` turns it into an InputError."""


class DuplicateGuard:
    """Refuses rows with the same identity as an earlier row. All get one reason, with the first of them as example."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, int] = {}
        self._reason: str | None = None

    def claim(self, line: int, what: str, *identity: Hashable) -> None:
        """Raises RowError if an earlier line has the same identity."""
        first = self._lines.setdefault(identity, line)
        if first != line:
            self._reason = self._reason or f"it repeats an earlier row (row {line} repeats row {first}: {what})"
            raise RowError(self._reason)


def quoted(value: object) -> str:
    """A value as it is quoted in a reason, at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def checked(column: str, text: str) -> str:
    """The text, if both databases can store it: no NUL (PostgreSQL) and no lone surrogate (both)."""
    if "\0" in text:
        raise RowError(f"{column} has a NUL character, which cannot be stored")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RowError(f"{column} has half a surrogate pair, which cannot be stored") from None
    return text


def text(row: Row, column: str) -> str | None:
    """A text, unchanged, or None if it is missing."""
    value = row.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RowError(f"{column} {quoted(value)} is not text")
    return checked(column, value)


def name(row: Row, column: str) -> str | None:
    """A name or key without surrounding blanks, or None if it is missing. Whole numbers are accepted.

    A whole number may be a float, which is what pandas makes of a column of whole numbers with missing values.
    """
    value = row.get(column)
    if isinstance(value, str):
        return checked(column, value.strip()) or None
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    raise RowError(f"{column} {quoted(value)} is not text")


def required(row: Row, column: str) -> str:
    """Like `name`, but raises RowError if the value is missing."""
    found = name(row, column)
    if found is None:
        raise RowError(f"{column} is empty" if column in row else f"{column} is missing")
    return found


def benchmark_of(row: Row, given: str | None) -> str:
    """The benchmark of a row. The column may be missing if the command names the benchmark."""
    named = name(row, "benchmark") if given else required(row, "benchmark")
    if given and named and named != given:
        raise RowError(f"the row is about benchmark {named!r}, not {given!r}")
    return given or named or ""


def score(row: Row, scale: Scale = Scale.FRACTION) -> float:
    """A score as a number in [0, 1]: a number on the scale of the file, or true or false (1 or 0).

    Raises FileError for a number that is not on the scale, because the other rows are then on another scale too: in a
    file with 61.2, a score of 0.9 means 0.9 %.
    """
    cell = row.get("score")
    if isinstance(cell, bool) or (isinstance(cell, str) and not cell[-1:].isdigit()):
        known = _TRUTH.get(str(cell).strip().lower())
        if known is not None and scale is Scale.PERCENT:
            raise FileError(f"score {quoted(cell)} is true or false, not in percent: leave out --scale percent")
        if known is not None:
            return known
        if isinstance(cell, str) and cell.rstrip().endswith("%"):
            if scale is not Scale.PERCENT:
                raise FileError(f"score {quoted(cell)} is in percent: give --scale percent if every score is")
            row = {**row, "score": cell.rstrip().removesuffix("%")}
    value = _number(row, "score")
    if value is None:
        raise RowError("score is empty" if "score" in row else "score is missing")
    highest = 100 if scale is Scale.PERCENT else 1
    if not -_ROUNDING <= value / highest <= 1 + _ROUNDING:
        raise FileError(f"score {quoted(cell)} is not between 0 and {highest}, so the file {_rescaling(value, scale)}")
    return min(1.0, max(0.0, value / highest))


_TRUTH = {"true": 1.0, "false": 0.0}
_ROUNDING = 1e-6
"""How far a score may be outside of its scale because of rounding: the resolution of the sums of scores."""


def _rescaling(value: float, scale: Scale) -> str:
    if scale is Scale.PERCENT:
        return "is not in percent"
    if 1 < value <= 100:
        return (
            "has another scale: give --scale percent if every score is in percent, or divide percentages by 100 (other "
            "scores by the highest possible one)"
        )
    return "has another scale: bring every score to 0 to 1, for example (score - lowest) / (highest - lowest)"


def cost(row: Row) -> float | None:
    """A cost of zero or more, in the unit of the expert's own cost."""
    value = _number(row, "cost")
    if value is not None and value < 0:
        raise RowError(f"cost {quoted(row['cost'])} is negative")
    return value


def count(row: Row, column: str, *, least: int) -> int | None:
    """A whole number of at least `least`. 12.0 is accepted: pandas writes it if a column has missing values."""
    value = _number(row, column)
    if value is None:
        return None
    if not value.is_integer() or not least <= value <= MAX_COUNT:
        raise RowError(f"{column} {quoted(row[column])} is not a whole number from {least} to {MAX_COUNT}")
    return int(value)


def split(row: Row) -> Split | None:
    """A split by its name, in upper or lower case."""
    found = name(row, "split")
    if found is None:
        return None
    try:
        return Split(found.lower())
    except ValueError:
        raise RowError(f"unknown split {quoted(found)}; known are {', '.join(Split)}") from None


def choices(row: Row) -> tuple[str, ...]:
    """The choices of a query: a list of texts, or in CSV a list in JSON or, as pandas writes it, in Python syntax."""
    value = row.get("choices")
    if not value and isinstance(value, str | None):
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = python_list(value)
            if value is None:
                raise RowError(f"choices {quoted(row['choices'])} is not a JSON list") from None
    return texts("choices", value)


def python_list(text: str) -> list[Any] | None:
    """The list that Python writes in this way; None if it is not exactly that.

    "['a' 'b']", as NumPy writes an array, is not: Python would read it as a list of one text.
    """
    if not text.startswith("[") or len(text) > MAX_LITERAL:
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list) and repr(value) == text else None


def texts(column: str, value: object) -> tuple[str, ...]:
    """A list of texts."""
    try:
        if not isinstance(value, list):
            raise TypeError
        checked(column, "".join(value))  # TypeError if one is not a text; faster than a test of each
    except TypeError:
        raise RowError(f"{column} {quoted(value)} is not a list of texts") from None
    return tuple(value)


def number(row: Row, column: str) -> float:
    """A required finite number."""
    value = _number(row, column)
    if value is None:
        raise RowError(f"{column} is empty" if column in row else f"{column} is missing")
    return value


def _number(row: Row, column: str) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, _NUMERIC):
            raise TypeError
        if isinstance(value, str) and "_" in value:  # a digit separator in Python, an error in data
            raise ValueError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise RowError(f"{column} {quoted(value)} is not a number") from None
    if not math.isfinite(number):
        raise RowError(f"{column} {quoted(value)} is not a finite number")
    return number
