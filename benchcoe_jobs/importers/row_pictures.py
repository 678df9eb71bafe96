"""The column `images` of a table of queries."""

from __future__ import annotations

from pathlib import Path

from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import Row, RowError
from benchcoe_jobs.json_text import RepeatedNameError, parsed
from benchcoe_jobs.picture_files import read_picture

_MOST = 100
"""More pictures than any question has."""


def row_pictures(row: Row, folder: Path) -> tuple[bytes, ...]:
    """The encoded pictures of a row, in order: one or a list of what `read_picture` reads.

    In a text, a list is written in JSON, or as pandas writes it. Raises RowError with the number of a picture that
    cannot be read.
    """
    value = row.get("images")
    if value is None or value in ("", b""):
        return ()
    if isinstance(value, str) and value.startswith("["):
        value = _listed(value)
    pictures = value if isinstance(value, list) else [value]
    if len(pictures) > _MOST:
        raise RowError(f"images has {len(pictures)} pictures; {_MOST} are allowed")
    found = []
    for number, picture in enumerate(pictures, 1):
        try:
            found.append(read_picture(picture, folder))
        except ValueError as error:
            raise RowError(f"images: picture {number}: {error}") from error
    return tuple(found)


def _listed(text: str) -> object:
    try:
        return parsed(text)
    except RepeatedNameError as error:
        raise RowError(f"images: {error}") from error
    except (ValueError, RecursionError):
        found = columns.python_list(text)
        return text if found is None else found
