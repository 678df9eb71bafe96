"""Connections to PostgreSQL detect lost networks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from disturbances import Wire
from sqlalchemy import text

from benchcoe_jobs.store.session import Store, connect


@pytest.fixture
def wire(fresh_postgres: Callable[[bool], str]) -> Iterator[Wire]:
    """A TCP address of the server, which may itself listen on a Unix socket without keep-alives."""
    made = Wire(fresh_postgres(True))
    yield made
    made.stop()


def test_both_ends_detect_a_silent_connection(wire: Wire) -> None:
    store = connect(wire.url)
    with store.reading() as connection:
        rows = connection.execute(text("SELECT name, source FROM pg_settings WHERE name LIKE 'tcp_%'"))
        sources = {row.name: row.source for row in rows}
    assert _time_outs(store) == (10, 5, 3, 25_000)
    names = ["tcp_keepalives_count", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_user_timeout"]
    assert sources == dict.fromkeys(names, "session")
    store.close()


def test_a_url_overrides_the_time_outs(wire: Wire) -> None:
    store = connect(f"{wire.url}?keepalives_count=10&tcp_user_timeout=60000")
    assert _time_outs(store) == (10, 5, 10, 60_000)
    store.close()


def _time_outs(store: Store) -> tuple[int, ...]:
    """Idle seconds, interval, count and time-out in ms, as the kernel has them for our end."""
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    with store.reading() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with socket.socket(fileno=os.dup(driver.fileno())) as ours:
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            return tuple(ours.getsockopt(socket.IPPROTO_TCP, option) for option in options)
