"""What is imported at once: a file, or a folder whose files belong together."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import deque
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers.reading import workbook
from benchcoe_jobs.importers.reading.archive import DamagedError, file_digest, is_folder, open_data
from benchcoe_jobs.importers.reading.parquet import column_names

MAX_FILES = 20_000
"""Files in a folder that is imported as one, such as the work folder of a harness with its logs."""

HEAD = 2**20
"""Bytes of a file that are looked at to recognise its format."""

MAX_HEADS = 16
"""Files whose heads are in memory. Older ones are read again if they are needed: a folder may have thousands."""


class Source:
    """A path with what is needed to recognise its format, read once: names, first bytes, first record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_folder = is_folder(path)
        self._name_and_head: tuple[str, bytes] | None = None

    def __str__(self) -> str:
        return str(self.path)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The file, or the regular files in and under the folder, sorted; not those with a hidden part in their path.

        Raises InputError for more than MAX_FILES.
        """
        if not self.is_folder:
            return (self.path,)
        found: list[Path] = []
        for file in self.path.rglob("*"):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(self.path).parts):
                found.append(file)
                if len(found) > MAX_FILES:
                    raise InputError(f"{self.path}: the folder has more than {MAX_FILES:,} files")
        return tuple(sorted(found))

    @cached_property
    def children(self) -> tuple[Source, ...]:
        """The folders and files directly in a folder, sorted by name, without hidden ones. Raises InputError."""
        try:
            return tuple(Source(child) for child in sorted(self.path.iterdir()) if not child.name.startswith("."))
        except OSError as error:
            raise DamagedError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    @property
    def name(self) -> str:
        """The name of the file or folder, or of the data file in a zip or gzip file, without folders."""
        return self._opened[0]

    @property
    def suffix(self) -> str:
        """The ending of `name` in lower case, with the point; empty for a folder."""
        return "" if self.is_folder else PurePosixPath(self.name).suffix.lower()

    @property
    def head(self) -> bytes:
        """The first HEAD bytes of the data of a file, unpacked; empty for a folder and for what cannot be unpacked."""
        return self._opened[1]

    @property
    def _opened(self) -> tuple[str, bytes]:
        if self._name_and_head is None:
            self._name_and_head = self._open()
            _recent.append(self)
            if len(_recent) > MAX_HEADS:
                _recent.popleft()._name_and_head = None
        return self._name_and_head

    def _open(self) -> tuple[str, bytes]:
        if self.is_folder:
            return self.path.name, b""
        try:
            with open_data(self.path) as (name, stream):
                return PurePosixPath(name).name, stream.read(HEAD)
        except InputError:
            return self.path.name, b""

    @cached_property
    def first_record(self) -> Any:
        """The first JSON value of a JSON or JSON Lines file; None if there is none within HEAD bytes.

        Of an array it is the first element.
        """
        text = self.head.decode("utf-8", "ignore").removeprefix("\ufeff").lstrip()
        if text.startswith("["):
            text = text[1:].lstrip()
        try:
            return json.JSONDecoder().raw_decode(text)[0] if text else None
        except (ValueError, RecursionError):
            return None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table: CSV, TSV, Parquet or a workbook, or the keys of the first object in JSON; else empty.

        Those of a folder are the columns of its first Parquet file. Without the package that reads it, it has none.
        """
        if self.is_folder:
            parts = [file for file in self.files if file.suffix.lower() == ".parquet"]
            return Source(parts[0]).columns if parts else ()
        if self.suffix == ".parquet":
            try:
                return tuple(column_names(self.path))
            except (InputError, MissingError):
                return ()
        if self.suffix in (".csv", ".tsv"):
            return self._header("\t" if self.suffix == ".tsv" else ",")
        if self.suffix in workbook.SUFFIXES:
            try:
                return tuple(workbook.column_names(self.path))
            except (InputError, MissingError):
                return ()
        if self.suffix in (".json", ".jsonl", ".ndjson") and isinstance(self.first_record, dict):
            return tuple(self.first_record)
        return ()

    def _header(self, delimiter: str) -> tuple[str, ...]:
        lines = self.head.decode("utf-8", "ignore").removeprefix("\ufeff").splitlines(keepends=True)
        try:
            cells = next((row for row in csv.reader(lines, delimiter=delimiter) if row), [])
        except csv.Error:
            return ()
        return tuple(cell.strip() for cell in cells)

    def forget(self) -> None:
        """Drop what was read of the file and of the files in the folder: for thousands of files it is much."""
        for name in ("first_record", "columns", "children"):
            self.__dict__.pop(name, None)

    def digest(self) -> str:
        """The SHA-256 (hex) of a file; of a folder, that of the names and digests of its files, sorted."""
        if not self.is_folder:
            return file_digest(self.path)
        listed = [f"{file.relative_to(self.path).as_posix()}\0{file_digest(file)}" for file in self.files]
        return hashlib.sha256("\n".join(listed).encode("utf-8", "surrogateescape")).hexdigest()


_recent: deque[Source] = deque()
