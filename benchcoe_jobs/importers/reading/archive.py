"""Read a data file, plain, in a zip or with gzip. Nothing is extracted to disk, and unsafe archives are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, Any

from benchcoe_jobs.errors import InputError

MAX_ENTRIES = 1_000
MAX_BYTES = 2 * 2**30
MAX_RATIO = 200
RATIO_COUNTS_FROM = 2**20
"""Uncompressed bytes: smaller files may have any ratio, because a few kilobytes of zeros are harmless."""

DATA = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")

_WORKBOOK_PART = "[Content_Types].xml"
_ODD_NAME = re.compile(r"^$|^/|^[A-Za-z]:|\\|\0|(^|/)\.\.(/|$)")
_CANNOT_OPEN = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, struct.error)
_CANNOT_READ = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


class DamagedError(InputError):
    """A file cannot be read, or is damaged."""


def read_bytes(path: Path) -> tuple[str, bytes]:
    """The name and the content of a data file, or of the only data file in an archive.

    Raises InputError as `open_data` does, and for more than MAX_BYTES (2 GiB).
    """
    with open_data(path) as (name, stream):
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes")
    return name, content


def not_utf8(path: Path, byte: int, place: str) -> DamagedError:
    """The error for a text with a byte that is not UTF-8 at a place, such as "in line 3"."""
    return DamagedError(
        f"{path}: not UTF-8: byte 0x{byte:02x} {place}: save it as UTF-8 (in a spreadsheet: CSV UTF-8), or convert it "
        "with iconv -t UTF-8"
    )


def is_folder(path: Path) -> bool:
    """Whether a path is a folder. Path.is_dir raises OSError for a name that is too long."""
    return os.path.isdir(path)  # noqa: PTH112


def file_digest(path: Path) -> str:
    """The SHA-256 (hex) of a file; of a folder, that of the names and digests of its Parquet files.

    Raises InputError if it cannot be read.
    """
    if is_folder(path):
        listed = [f"{file.relative_to(path).as_posix()}\0{file_digest(file)}" for file in parquet_files(path)]
        return hashlib.sha256("\n".join(listed).encode("utf-8", "surrogateescape")).hexdigest()
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files under a folder, sorted; not those whose path has a name that begins with a dot or underscore.

    Raises InputError if there is none, or if there are more than MAX_ENTRIES.
    """
    files = [
        file
        for file in sorted(folder.rglob("*.parquet"))
        if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise InputError(f"{folder}: a folder without Parquet files; name one file, or a folder of Parquet files")
    if len(files) > MAX_ENTRIES:
        raise InputError(f"{folder}: the folder has {len(files):,} Parquet files; {MAX_ENTRIES:,} are allowed")
    return files


def open_file(path: Path) -> BufferedReader:
    """Open a file. Raises InputError if it is not a regular file, because opening a pipe would wait; OSError."""
    if not path.exists():
        raise InputError(f"{path}: {'a link that leads to no file' if path.is_symlink() else 'no such file'}")
    if not path.is_file():
        raise InputError(f"{path}: {'a folder' if path.is_dir() else 'a device or pipe'}, not a file")
    return path.open("rb")


@contextmanager
def open_data(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the byte stream of a data file, or of the only data file in a zip or gzip file.

    Raises InputError if the file cannot be read, or if a zip is damaged, encrypted, has no or several data files,
    exceeds the limits above, or has links or paths that lead outside of it.
    """
    kind = "zip"
    try:
        with open_file(path) as file:
            start = file.read(4)
            file.seek(0)
            if path.suffix.lower() == ".gz" or start.startswith(b"\x1f\x8b"):
                kind = "gzip file"
                name = path.stem if path.suffix.lower() == ".gz" else path.name
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield name, io.BufferedReader(_Limited(unpacked, path))
            elif path.suffix.lower() == ".zip" or start in (b"PK\3\4", b"PK\5\6"):
                name, stream = _only_data_member(path, file)
                with stream:
                    yield name, stream
            else:
                yield path.name, file
    except _CANNOT_READ as error:
        raise _damaged(path, error, kind) from error
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read: {error.strerror or error}") from error


class _Limited(io.RawIOBase):
    """What a gzip file unpacks to, within the limits above. Its header declares no size that could be checked."""

    def __init__(self, stream: gzip.GzipFile, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._size = 0
        self._limit = min(MAX_BYTES, max(RATIO_COUNTS_FROM, MAX_RATIO * path.stat().st_size))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._size += len(content)
        if self._size > self._limit:
            raise InputError(
                f"{self._path}: it unpacks to more than {self._limit:,} bytes; {MAX_BYTES:,} bytes and {MAX_RATIO}:1 "
                "are allowed"
            )
        buffer[: len(content)] = content
        return len(content)


def require_safe_zip(path: Path) -> None:
    """Raise InputError unless every entry of a zip, and all of them together, are within the limits above."""
    with open_file(path) as file:
        _, entries = open_zip(path, file)
    for entry in entries:
        require_safe_entry(path, entry)
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise InputError(f"{path}: its entries have more than {MAX_BYTES:,} bytes")


def open_zip(
    path: Path, file: IO[bytes], max_entries: int = MAX_ENTRIES
) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """A zip and its entries, none of which leads outside of it. Raises InputError."""
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
    except _CANNOT_OPEN as error:
        raise _damaged(path, error) from error
    if len(entries) > max_entries:
        raise InputError(f"{path}: the zip has {len(entries):,} entries; {max_entries:,} are allowed")
    for entry in entries:
        if _ODD_NAME.search(entry.orig_filename):
            raise InputError(f"{path}: the zip has an entry with an unsafe path: {entry.orig_filename!r}")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{path}: the zip has a symbolic link: {entry.filename!r}")
    return archive, entries


def _only_data_member(path: Path, file: IO[bytes]) -> tuple[str, IO[bytes]]:
    archive, entries = open_zip(path, file)
    if any(entry.filename == _WORKBOOK_PART for entry in entries):
        raise InputError(f"{path}: an Excel workbook: a table in a workbook has a name that ends with .xlsx")
    members = [entry for entry in entries if _is_data(entry)]
    if len(members) != 1:
        raise InputError(
            f"{path}: the zip has {len(members) or 'no'} data files; it must have one of {', '.join(DATA)}"
        )
    [member] = members
    require_safe_entry(path, member)
    try:
        return member.filename, archive.open(member)
    except _CANNOT_OPEN as error:
        raise _damaged(path, error) from error


def _is_data(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a data file; macOS adds files named ._x in a folder __MACOSX."""
    path = PurePosixPath(entry.filename)
    hidden = "__MACOSX" in path.parts or path.name.startswith(".")
    return not (entry.is_dir() or hidden) and path.suffix.lower() in DATA


def require_safe_entry(path: Path, member: zipfile.ZipInfo, *other_methods: int) -> None:
    """Check the declared sizes. zipfile reads no more than that, and raises an error for the CRC if there is more.

    This is true for deflate, which is decompressed in bounded steps. Other methods are not, so they are refused, except
    `other_methods`, whose caller decompresses them in this way. Raises InputError.
    """
    if member.flag_bits & 0x1:
        raise InputError(f"{path}: {member.filename!r} in the zip is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, *other_methods):
        raise InputError(f"{path}: {member.filename!r} is compressed by another method than deflate")
    if member.file_size > MAX_BYTES:
        raise InputError(f"{path}: {member.filename!r} is larger than {MAX_BYTES:,} bytes")
    if member.file_size > max(RATIO_COUNTS_FROM, MAX_RATIO * member.compress_size):
        raise InputError(f"{path}: {member.filename!r} is compressed more than {MAX_RATIO}:1, as a zip bomb is")


def _damaged(path: Path, error: Exception, kind: str = "zip") -> DamagedError:
    return DamagedError(f"{path}: the {kind} is damaged or cut short: {error}")
