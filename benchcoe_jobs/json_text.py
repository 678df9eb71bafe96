"""JSON in files that a user names, in which a name that occurs twice in one object is an error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


class RepeatedNameError(ValueError):
    """An object has a name twice. The message is the end of a sentence about a row or a file."""


def repeated_name(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """The first name that occurs twice among the members of an object, None if there is none."""
    names = [name for name, _ in pairs]
    if len(set(names)) == len(names):
        return None
    return next(name for name in names if names.count(name) > 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := repeated_name(pairs)) is not None:
        raise RepeatedNameError(f"the name {twice!r:.40} occurs twice in one object")
    return dict(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def parsed(text: str) -> Any:
    """The JSON value of a text.

    Python and most programs take the last of two members with one name; which of two scores is right, only the writer
    of the file can tell. Raises RepeatedNameError for them, and JSONDecodeError, ValueError or RecursionError as
    json.loads does.
    """
    return _DECODER.decode(text)
