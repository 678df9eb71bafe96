"""The beginning of a JSON document: its first members, even if the document is too large to be read as a whole."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from benchcoe_jobs.importers.source import Source

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")


class Cut(str):
    """The beginning of a value that is longer than what was read. Its members are `members(cut)`."""

    __slots__ = ()


@lru_cache(maxsize=1)  # several importers look at the same file in turn
def opening(source: Source) -> dict[str, Any]:
    """The members of the object that a file begins with, as far as they are in its head; else empty."""
    return members(source.head.decode("utf-8", "ignore").removeprefix("\ufeff"))


def members(text: str) -> dict[str, Any]:
    """The first members of an object in JSON. A value that the text has not to its end is a Cut."""
    found: dict[str, Any] = {}
    place = _BLANK.match(text).end()  # type: ignore[union-attr]  # it matches the empty text
    if text[place : place + 1] != "{":
        return found
    while text[place : place + 1] in ("{", ","):
        try:
            name, place = _DECODER.raw_decode(text, _after_blanks(text, place + 1))
            place = _after_blanks(text, place)
            if not isinstance(name, str) or text[place : place + 1] != ":":
                return found
            place = _after_blanks(text, place + 1)
        except (ValueError, RecursionError):
            return found
        try:
            found[name], place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            found[name] = Cut(text[place:])
            return found
        place = _after_blanks(text, place)
    return found


def within(value: Any) -> dict[str, Any]:
    """The members of an object, or of the beginning of one; empty for anything else."""
    if isinstance(value, Cut):
        return members(value)
    return value if isinstance(value, dict) else {}


def _after_blanks(text: str, place: int) -> int:
    return _BLANK.match(text, place).end()  # type: ignore[union-attr]
