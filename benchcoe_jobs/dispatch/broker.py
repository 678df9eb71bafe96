"""The broker's address: parse it, refuse unsafe ones, and test whether the broker responds."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.utils.url import url_to_parts

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.masking import masked, masked_url
from benchcoe_jobs.settings import Settings

_TIMEOUT_S = 2.0
_LOOKS_LIKE = "it looks like redis://:PASSWORD@host:6379/0 or redis+socket:///run/redis.sock"
_SCHEMES = ("redis", "rediss", "redis+socket")
_SOCKET_OPTIONS = {"virtual_host"}
_SERVER_OPTIONS = {
    *("ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"),
}


def broker_url(settings: Settings) -> str:
    """The broker's address for kombu. Raises UsageError if it is invalid or unsafe.

    A client that can write to the broker can stop the work and read the queues. The broker must therefore be on this
    machine or require a password, unless `open_broker` is set. What is checked is what kombu connects to, which is
    every address of a list: kombu splits an address at each semicolon and tries the parts in turn.
    """
    url = settings.broker_url or ""
    schemes = [_require_known_parts(part) for part in url.split(";")]
    if len(set(schemes)) > 1 or (len(schemes) > 1 and schemes[0] == "redis+socket"):
        raise UsageError("the addresses of several brokers must all begin with redis:// or all with rediss://")
    try:
        for target in _targets(url):
            _require_safe(target, settings)
    except (TypeError, KeyError, ValueError) as error:  # its text may contain a part of the password
        raise UsageError(f"the broker's address cannot be read: {_LOOKS_LIKE}") from error
    return url


def tls_of(url: str) -> dict[str, Any] | None:
    """The TLS options of a broker's address that has none of its own: kombu would not check the certificate."""
    parts = urlsplit(url.split(";")[0])
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if parts.scheme == "rediss" and not parts.query else None


def _require_known_parts(url: str) -> str:
    """Refuse an address that kombu could take for something else than a Redis. Returns its scheme."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        options = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    except ValueError as error:
        raise UsageError(f"the broker's address cannot be read: {_LOOKS_LIKE}") from error
    if not url.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES)):
        raise UsageError(f"the broker must be a Redis (or Valkey): {_LOOKS_LIKE}")
    if options - (_SOCKET_OPTIONS if parts.scheme == "redis+socket" else _SERVER_OPTIONS):
        raise UsageError(f"the broker's address has an unknown option: {_LOOKS_LIKE}")
    return parts.scheme


def _targets(url: str) -> Iterator[Any]:
    """A connection of kombu, with the parameters of each server of the address in turn. Connects to nothing."""
    connection: Any = Connection(url)  # type: ignore[no-untyped-call]
    yield connection
    for alternative in connection.alt:
        connection.switch(alternative)
        yield connection


def _require_safe(target: Any, settings: Settings) -> None:
    host = target.hostname
    if target.uri_prefix == "redis" and str(host).startswith("socket://"):
        parts = url_to_parts(host)
        if parts.hostname or not parts.path:
            raise UsageError(f"the broker's address names no socket: {_LOOKS_LIKE}")
        return
    if not host:
        raise UsageError(f"the broker's address names no host: {_LOOKS_LIKE}")
    if not ((target.virtual_host or "").strip("/") or "0").isdecimal():
        raise UsageError(f"the broker's address has a database that is not a number: {_LOOKS_LIKE}")
    if not (_is_loopback(host) or target.password or settings.open_broker):
        raise UsageError(
            f"the broker at {host} is on another machine and requires no password: give it one "
            "(requirepass, or an ACL), or allow it with BENCHCOE_OPEN_BROKER=yes"
        )


def fault_of(settings: Settings) -> str | None:
    """Why the configured broker cannot be used, in one line; None if it responds within some seconds."""
    try:
        url = broker_url(settings)
        timeouts = {"socket_connect_timeout": _TIMEOUT_S, "socket_timeout": _TIMEOUT_S}
        connection: Any = Connection(  # type: ignore[no-untyped-call]
            url, ssl=tls_of(url) or False, transport_options=timeouts
        )
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
