"""Where tickets go: the broker's address, what kind of it is refused, and whether somebody answers there."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.settings import Settings

_ANSWERS_WITHIN_S = 2.0
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


def fault_of(settings: Settings) -> str | None:
    """Why the configured broker cannot be used, in a line; None where it answers within two seconds."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        # redis-py calls a socket unix://, Celery redis+socket://
        url = broker_url(settings).replace("redis+socket://", "unix://", 1)
        within = {"socket_connect_timeout": _ANSWERS_WITHIN_S, "socket_timeout": _ANSWERS_WITHIN_S}
        with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **within) as client:
            client.ping()
    except UsageError as error:
        return str(error)
    except (ValueError, TypeError):  # an option that there is not; its text may quote a piece of the password
        return f"the broker's address cannot be read: {_LOOKS_LIKE}"
    except redis.RedisError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"the broker at {masked(settings.broker_url or '')} does not answer: {reason}"
    return None


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
