"""Where tickets go: the broker's address, and what kind of it is refused."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.settings import Settings

_LOOKS_LIKE = "it looks like redis://:PASSWORD@host:6379/0 or redis+socket:///run/redis.sock"


def broker_url(settings: Settings) -> str:
    """The broker's address as kombu takes it. Raises UsageError for one that cannot be read, or that is open.

    Whoever can write to the broker can stop the work and read what is queued: it must be on this machine or ask
    for a password, unless `open_broker` is set.
    """
    url = settings.broker_url or ""
    try:
        parts = urlsplit(url)
        host, password = parts.hostname, parts.password
        _ = parts.port
    except ValueError as error:  # its text may quote a piece of the password
        raise UsageError(f"the broker's address cannot be read: {_LOOKS_LIKE}") from error
    if parts.scheme not in ("redis", "rediss", "redis+socket"):
        raise UsageError(f"the broker must be a Redis (or Valkey): {_LOOKS_LIKE}")
    if parts.scheme == "redis+socket":
        return url
    if not host:
        raise UsageError(f"the broker's address names no host: {_LOOKS_LIKE}")
    if not (_is_loopback(host) or password or settings.open_broker):
        raise UsageError(
            f"the broker at {host} is on another machine and asks for no password: give it one "
            "(requirepass, or an ACL), or insist with BENCHCOE_OPEN_BROKER=yes"
        )
    return url


def masked(url: str) -> str:
    """An address without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
