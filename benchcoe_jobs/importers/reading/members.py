"""The members of a zip that has many, also of one whose members are compressed with Zstandard."""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading.archive import open_file, open_zip, require_safe_entry

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_MEMBERS = 500_000
MAX_MEMBER_BYTES = 2**28
"""Largest member: each is read as a whole."""

_ZSTANDARD = 93
"""The method of the zip format (APPNOTE 4.4.5), which zipfile reads from Python 3.14 on."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_FAULTS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    struct.error,
    zlib.error,
    ValueError,
)


class Members:
    """The members of an open zip by their names."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._archive, entries = open_zip(path, file, MAX_MEMBERS)
        self._entries: Mapping[str, zipfile.ZipInfo] = {entry.filename: entry for entry in entries}

    @property
    def names(self) -> tuple[str, ...]:
        """The names in their order."""
        return tuple(self._entries)

    def read(self, name: str) -> bytes:
        """The content of a member. Raises InputError if it is damaged, encrypted or larger than the limits."""
        entry = self._entries[name]
        require_safe_entry(self._path, entry, _ZSTANDARD)
        if entry.file_size > MAX_MEMBER_BYTES:
            raise InputError(f"{self._path}: {name!r} in the zip is larger than {MAX_MEMBER_BYTES:,} bytes")
        try:
            return self._unpacked(entry) if entry.compress_type == _ZSTANDARD else self._archive.read(entry)
        except (*_FAULTS, zstd.ZstdError) as error:
            raise InputError(f"{self._path}: {name!r} in the zip is damaged or cut short: {error}") from error

    def _unpacked(self, entry: zipfile.ZipInfo) -> bytes:
        self._file.seek(entry.header_offset)
        mark, name_length, extra_length = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        if mark != b"PK\3\4":
            raise zipfile.BadZipFile("no header where it should begin")
        self._file.seek(name_length + extra_length, 1)
        packed = self._file.read(entry.compress_size)
        content = zstd.ZstdDecompressor().decompress(packed, max_length=entry.file_size + 1)
        if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
            raise zipfile.BadZipFile("its size or CRC is another one than the zip says")
        return content


@contextmanager
def open_members(path: Path) -> Iterator[Members]:
    """Open a zip. Raises InputError if it cannot be read, is damaged, or has links or paths that lead outside of it."""
    try:
        with open_file(path) as file:
            yield Members(path, file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
