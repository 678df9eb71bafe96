"""Zips whose members are compressed with Zstandard (method 93), as inspect_ai writes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from benchcoe_jobs.importers.reading.members import zstd

_METHOD = 93


def write_zstd_zip(path: Path, contents: Mapping[str, bytes], declared: int | None = None) -> None:
    """Write the members. `declared` is the unpacked size that the zip states in place of the true one."""
    body, directory = b"", b""
    for name, content in contents.items():
        packed = zstd.compress(content)
        size = len(content) if declared is None else declared
        fields = struct.pack("<HHHHHIIIHH", 63, 0, _METHOD, 0, 0, zlib.crc32(content), len(packed), size, len(name), 0)
        directory += (
            b"PK\1\2" + struct.pack("<H", 63) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name.encode()
        )
        body += b"PK\3\4" + fields + name.encode() + packed
    count = len(contents)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
