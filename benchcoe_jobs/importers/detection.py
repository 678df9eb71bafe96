"""Recognise the format of result files, and find them in folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchcoe_jobs import registry
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers.base import AccompaniedImporter, Importer
from benchcoe_jobs.importers.reading import workbook
from benchcoe_jobs.importers.reading.archive import DamagedError, open_data
from benchcoe_jobs.importers.reading.documents import json_document
from benchcoe_jobs.importers.reading.parquet import column_names
from benchcoe_jobs.importers.reading.rows import TABLE_SUFFIXES, instead
from benchcoe_jobs.importers.source import HEAD, Source

AUTO = "auto"
"""In place of a format: the one that recognises the file."""

MAX_WALKED = 20_000
"""Files and folders that are looked at below the folders that a command names."""

_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")

_MAX_JSON = 32 * 2**20
"""Bytes of a JSON file of no known format that is looked at whether it is damaged. A longer one is not."""


class Recognised(NamedTuple):
    """A file, or a folder that is imported as one, with its format and why it has it (None if the command names it)."""

    source: Source
    form: str
    why: str | None


@dataclass
class Found:
    """What the paths of a command hold, in their order.

    `faults` are the files that are damaged, or have no format or several, with the reason. `companions` belong to
    results in other files. `unknown` are the files in folders that have no known format; they are reported and passed
    over.
    """

    recognised: list[Recognised] = field(default_factory=list)
    faults: list[tuple[Path, InputError]] = field(default_factory=list)
    companions: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)


def find(paths: Sequence[Path], form: str = AUTO) -> Found:
    """What each path holds: a file or folder that an importer recognises, or the results in and under a folder.

    With a `form`, only this format is looked for, and a file is taken for it as it is.
    """
    found = Found()
    search = _Search(form, found)
    for path in dict.fromkeys(paths):
        search.add(Source(path))
    return found


class _Search:
    def __init__(self, form: str, found: Found) -> None:
        names = registry.names("importers") if form == AUTO else [form]
        self._importers: dict[str, Importer] = {name: registry.load("importers", name) for name in names}
        self._form = form
        self._found = found
        self._walked = 0

    def add(self, source: Source) -> None:
        """Add what a path of the command holds."""
        found = self._found
        before = len(found.recognised) + len(found.faults)
        try:
            if source.is_folder:
                self._look_into(source)
                if len(found.recognised) + len(found.faults) == before:
                    self._add_nothing(source)
            elif self._form != AUTO:
                found.recognised.append(Recognised(source, self._form, None))
            elif (known := self._recognise(source)) is not None:
                found.recognised.append(known)
            elif self._accompanies(source):
                found.companions.append(source.path)
            else:
                self._add_nothing(source)
        except InputError as error:
            found.faults.append((source.path, error))

    def _accompanies(self, source: Source) -> bool:
        return any(isinstance(one, AccompaniedImporter) and one.accompanies(source) for one in self._all())

    def _all(self) -> Iterator[Importer]:
        return iter(self._importers.values())

    def _recognise(self, source: Source) -> Recognised | None:
        """The format of a file or folder. Raises InputError if two formats have it."""
        candidates = self._candidates(source)
        if len(candidates) == 1 and source.is_folder and self._form == AUTO:
            candidates |= self._within(source, *candidates)
        if len(candidates) > 1:
            reasons = "; ".join(f"{name}: {why}" for name, why in candidates.items())
            others = "name its files and folders one by one, or --format" if source.is_folder else "--format"
            raise InputError(
                f"{source}: it could be of {len(candidates)} formats: {others} names the right one ({reasons})"
            )
        return next((Recognised(source, name, why) for name, why in candidates.items()), None)

    def _candidates(self, source: Source) -> dict[str, str]:
        """The formats that a file or folder could have, each with the reason."""
        found = {}
        for name, importer in self._importers.items():
            try:
                why = importer.recognise(source)
            except InputError:  # such as a folder of too many files, below which the results are
                why = None
            if why is not None:
                found[name] = why
        return found

    def _within(self, folder: Source, form: str) -> dict[str, str]:
        """Other formats of what is in and under a folder that is taken for one import; at most one.

        An importer reads what it knows in a folder, so that results of another format would be passed over silently.
        """
        for child in folder.children:
            if child.is_folder and child.path.is_symlink():
                continue
            candidates = self._candidates(child)
            if candidates and form not in candidates:
                name, why = next(iter(candidates.items()))
                return {name: f"in {child.path.name}, {why}"}
            if child.is_folder and (found := self._within(child, form)):
                return found
            child.forget()
        return {}

    def _look_into(self, folder: Source) -> None:
        """Add a folder that is imported as one, or else what is in it."""
        if (known := self._recognise(folder)) is not None:
            self._found.recognised.append(known)
            return
        for child in folder.children:
            self._walked += 1
            if self._walked > MAX_WALKED:
                raise InputError(f"{folder}: more than {MAX_WALKED:,} files and folders: name those with the results")
            try:
                if child.is_folder:
                    if not child.path.is_symlink():  # it could lead back up
                        self._look_into(child)
                elif (known := self._recognise(child)) is not None:
                    self._found.recognised.append(known)
                elif self._accompanies(child):
                    self._found.companions.append(child.path)
                elif self._form == AUTO:
                    _require_undamaged(child)
                    self._found.unknown.append(child.path)
            except InputError as error:
                self._found.faults.append((child.path, error))
            child.forget()

    def _add_nothing(self, source: Source) -> None:
        """Add a path without a known format, if it is named like a table: the reader of tables says what is wrong."""
        if self._form != AUTO:
            self._found.recognised.append(Recognised(source, self._form, None))
            return
        if not source.is_folder and source.suffix not in workbook.SUFFIXES:
            with open_data(source.path):  # it may be missing, or a damaged archive
                pass
        if source.suffix in TABLE_SUFFIXES and not _is_other_json(source):
            self._found.recognised.append(Recognised(source, "table", None))
            return
        what = "no file in it has" if source.is_folder else "it does not have"
        hint = "" if source.is_folder or source.suffix in TABLE_SUFFIXES else f"; {instead(source.name, source.suffix)}"
        raise InputError(
            f"{source}: {what} the form of a known format{hint}; `benchcoe-jobs import-results --help` lists them"
        )


def _require_undamaged(source: Source) -> None:
    """Raise DamagedError for a file that may be of a known format, but is damaged."""
    try:
        if source.suffix in workbook.SUFFIXES:
            workbook.column_names(source.path)
        elif source.suffix == ".parquet":
            column_names(source.path)
        else:
            with open_data(source.path) as (_, stream):
                content = stream.read(_MAX_JSON if source.suffix in _JSON_SUFFIXES else HEAD)
            if source.suffix in _JSON_SUFFIXES and content.strip() and len(content) < _MAX_JSON:
                _require_json(source.path, content)
    except DamagedError:
        raise
    except (InputError, MissingError):  # such as a zip of several files: it is of no known format
        pass


def _require_json(path: Path, content: bytes) -> None:
    """Raise DamagedError if a content is neither a JSON document nor begins with a line of JSON."""
    try:
        json_document(path, content.strip().partition(b"\n")[0])
    except DamagedError:
        json_document(path, content)


def _is_other_json(source: Source) -> bool:
    """Whether a file is one JSON object that does not have columns, as pandas writes them."""
    document = source.first_record if source.suffix == ".json" and source.head.lstrip().startswith(b"{") else None
    return isinstance(document, dict) and not all(isinstance(cells, dict) for cells in document.values())
