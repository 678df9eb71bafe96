"""Check the pictures of queries before they are stored: an engine would find their faults one question at a time."""

from __future__ import annotations

import re

from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.picture_opener import require_whole
from benchcoe_jobs.wording import counted

_NAMED = re.compile(r"<image (\d{1,3})>")
"""How texts and choices of MMMU name the pictures of their question."""


class PictureChecks:
    """Checks the pictures of the queries of a file, by their headers and ends, and counts what is only noted."""

    def __init__(self) -> None:
        self._unchecked = 0
        self._incomplete: list[str] = []

    def fault(self, query: Query) -> str | None:
        """Why a query cannot be stored: a picture that cannot be opened, or that is too large. None if it can."""
        named = (int(number) for text in (query.text, *query.choices) for number in _NAMED.findall(text))
        if max(named, default=0) > len(query.images):
            self._incomplete.append(query.key)
        for number, content in enumerate(query.images, 1):
            try:
                require_whole(content)
            except InputError as error:
                return f"query {query.key!r}: picture {number}: {error}"
            except MissingError:
                self._unchecked += 1
        return None

    def notes(self) -> list[str]:
        """Remarks about the whole file: pictures that texts name and that are not there, and missing packages."""
        found = []
        if self._incomplete:
            n = counted(len(self._incomplete), "query names", "queries name")
            found.append(f"{n} a picture that the row does not have, such as {self._incomplete[0]!r}")
        if self._unchecked:
            n = counted(self._unchecked, "picture was", "pictures were")
            found.append(f"{n} not checked, which needs Pillow: pip install 'benchcoe-jobs[endpoints]'")
        return found
