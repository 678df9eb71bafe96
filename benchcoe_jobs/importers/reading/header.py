"""The columns of a table: which are read, under which names, and what is reported about the others."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchcoe_jobs.domain import Note
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.reading.columns import quoted

Check = Callable[[Sequence[str]], Mapping[str, str]]
"""Checks the names of the columns, and returns those to read with their names in the store. Raises InputError."""

_INDEX = re.compile(r"|Unnamed: \d+(\.\d+)*|__index_level_\d+__")
"""The names of the columns in which pandas writes its index: to CSV, after a second round, and to Parquet."""

_MAX_LISTED = 12
_MAX_KEPT = 1_000
_LIKENESS = 0.8


class Header:
    """Checks the names of the columns of a file, once for CSV and Parquet, for each new set of keys in JSONL.

    `known` are the columns of the store. `required` lists groups of them; at least one of each group must be there.
    `columns` maps known columns to those of the file that have them, and is None if the command has no --map. Other
    columns are ignored with a Note, or refused if `require_known` is set. Raises UsageError if `columns` names a column
    that is not known.
    """

    def __init__(
        self,
        path: Path,
        known: Sequence[str],
        required: Sequence[tuple[str, ...]],
        columns: Mapping[str, str] | None = None,
        *,
        require_known: bool = False,
    ) -> None:
        for column in columns or {}:
            if column not in known:
                raise UsageError(f"--map {column}=...: there is no column {quoted(column)}; known are {_plain(known)}")
        self._path = path
        self._known = known
        self._required = required
        self._may_map = columns is not None
        self._columns = columns or {}
        self._require_known = require_known
        self._index: dict[str, None] = {}
        self._ignored: dict[str, str | None] = {}

    def check(self, names: Sequence[str]) -> dict[str, str]:
        """The columns to read, each with its name in the store. Raises InputError if the file cannot be used."""
        where = {self._columns.get(column, column): column for column in self._known}
        for column, name in self._columns.items():
            if name not in names:
                raise InputError(
                    f"{self._path}: no column {quoted(name)}, which --map {column}={name[:40]} names; its columns are "
                    f"{_listed(names)}"
                )
            where[name] = column
        found = {name: where[name] for name in names if name in where}
        if twice := [name for name, times in Counter(names).items() if times > 1 and name in found]:
            raise InputError(f"{self._path}: column {_listed(twice)} occurs twice")
        others = [name for name in names if name not in found]
        index = [name for name in others if _INDEX.fullmatch(name)]
        others = [name for name in others if name not in index]
        if others and self._require_known:
            raise InputError(
                f"{self._path}: unknown column {_listed(others)}{_other_delimiter(names)}; known are "
                f"{_plain(self._known)}"
            )
        for group in self._required:
            if not set(group) & set(found.values()):
                raise InputError(f"{self._path}: {self._missing(group, names, others)}")
        self._index |= dict.fromkeys(index)
        for name in others:
            if len(self._ignored) < _MAX_KEPT and name not in self._ignored:
                self._ignored[name] = _like([name], set(self._known) - set(found.values()))
        return found

    def notes(self) -> list[Note]:
        """What was passed over in the rows so far."""
        notes = []
        if self._index:
            notes.append(
                Note(f"column {_listed(self._index)} is passed over: pandas wrote the index of its rows there")
            )
        if self._ignored:
            many = len(self._ignored) > 1
            likes = [
                f"; {quoted(name)} is like {column!r}: {self._advice(column, name)}"
                for name, column in self._ignored.items()
                if column
            ]
            notes.append(
                Note(
                    f"column{'s' * many} {_listed(self._ignored)} {'are' if many else 'is'} ignored{''.join(likes[:3])}"
                )
            )
        return notes

    def _missing(self, group: tuple[str, ...], names: Sequence[str], others: Sequence[str]) -> str:
        missing = f"no column {_listed(group, ' or ')}"
        if group == ("benchmark",):
            missing += " (--benchmark names it for every row)"
        for column in group:
            if name := _like([column], others):
                return f"{missing}, but {quoted(name)}: {self._advice(column, name)}"
        other = f" or give --map {group[0]}=COLUMN" if self._may_map else ""
        return (
            f"{missing}{_other_delimiter(names)}; its columns are {_listed(names)}: rename the one that has it"
            f"{',' * bool(other)}{other}"
        )

    def _advice(self, column: str, name: str) -> str:
        return f"rename it, or give --map {column}={name}" if self._may_map else f"rename it to {column!r}"


def _like(names: Sequence[str], candidates: Iterable[str]) -> str | None:
    """The candidate that is most like one of the names; None if none is."""
    folded = {other.strip().casefold(): other for other in sorted(candidates) if len(other) <= 40}
    for name in names:
        if len(name) <= 40 and (found := difflib.get_close_matches(name.strip().casefold(), folded, 1, _LIKENESS)):
            return folded[found[0]]
    return None


def _other_delimiter(names: Sequence[str]) -> str:
    """A hint, if a header has a single column in which another delimiter occurs."""
    if len(names) == 1 and (found := next((mark for mark in (";", "\t", "|") if mark in names[0]), None)):
        return f" (columns are separated by commas in .csv and by tabs in .tsv, not by {found!r})"
    return ""


def _listed(names: Iterable[str], between: str = ", ") -> str:
    listed = list(names)
    more = f" and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
    return between.join(quoted(name) for name in listed[:_MAX_LISTED]) + more


def _plain(names: Sequence[str]) -> str:
    return ", ".join(names)
