"""The broker's address: parse it, refuse unsafe ones, and test whether the broker responds."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from kombu.connection import Connection
from kombu.exceptions import OperationalError

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.masking import masked, masked_url
from benchcoe_jobs.settings import Settings

_TIMEOUT_S = 2.0
_LOOKS_LIKE = "it looks like redis://:PASSWORD@host:6379/0 or redis+socket:///run/redis.sock"


def broker_url(settings: Settings) -> str:
    """The broker's address for kombu. Raises UsageError if it is invalid or unsafe.

    A client that can write to the broker can stop the work and read the queues. The broker must therefore be on this
    machine or require a password, unless `open_broker` is set.
    """
    url = settings.broker_url or ""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:  # its text may contain a part of the password
        raise UsageError(f"the broker's address cannot be read: {_LOOKS_LIKE}") from error
    if parts.scheme not in ("redis", "rediss", "redis+socket"):
        raise UsageError(f"the broker must be a Redis (or Valkey): {_LOOKS_LIKE}")
    if parts.scheme != "redis+socket":
        _require_server(parts, settings)
    elif len(parts.path) < 2:
        raise UsageError(f"the broker's address names no socket: {_LOOKS_LIKE}")
    try:
        Connection(url)  # type: ignore[no-untyped-call]  # connects to nothing
    except TypeError as error:
        raise UsageError(f"the broker's address has an unknown option: {_LOOKS_LIKE}") from error
    return url


def _require_server(parts: SplitResult, settings: Settings) -> None:
    if not parts.hostname:
        raise UsageError(f"the broker's address names no host: {_LOOKS_LIKE}")
    if not (parts.path.strip("/") or "0").isdecimal():
        raise UsageError(f"the broker's address has a database that is not a number: {_LOOKS_LIKE}")
    if not (_is_loopback(parts.hostname) or parts.password or settings.open_broker):
        raise UsageError(
            f"the broker at {parts.hostname} is on another machine and requires no password: give it one "
            "(requirepass, or an ACL), or allow it with BENCHCOE_OPEN_BROKER=yes"
        )


def fault_of(settings: Settings) -> str | None:
    """Why the configured broker cannot be used, in one line; None if it responds within some seconds."""
    try:
        url = broker_url(settings)
        timeouts = {"socket_connect_timeout": _TIMEOUT_S, "socket_timeout": _TIMEOUT_S}
        connection: Any = Connection(url, transport_options=timeouts)  # type: ignore[no-untyped-call]
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except UsageError as error:
        return str(error)
    except OperationalError as error:
        reason = (masked(str(error)).strip() or type(error).__name__).splitlines()[0]
        return f"the broker at {masked_url(settings.broker_url or '')} does not answer: {reason}"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
