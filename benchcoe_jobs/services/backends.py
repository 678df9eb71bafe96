"""Where experts answer: the addresses that the configuration of a gateway needs. It holds no keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.reading.columns import quoted
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow

EMBEDDER = "embedder"
"""The name of the server of embeddings in the file of --endpoints."""

_FIELDS = ("url", "model", "key_env")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Backend:
    """An expert behind an address. `key_env` names the environment variable with its key, and is None without one.

    Prices are for a million tokens.
    """

    expert: str
    name: str
    url: str
    model: str
    key_env: str | None
    price_in: float | None
    price_out: float | None


def backends(connection: Connection, names: Iterable[str], endpoints: Mapping[str, Any]) -> list[Backend]:
    """The addresses of some experts: those of the engine `openai`, and those that `endpoints` adds or replaces.

    `endpoints` is the content of the file of --endpoints: expert -> url, model, key_env. Raises UsageError if an expert
    has no address, InputError for a wrong entry.
    """
    names = list(names)
    found = known_backends(connection, names, endpoints)
    if missing := [name for name in names if name not in found]:
        others = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UsageError(
            f"no address is known of {', '.join(missing[:3])}{others}: give --endpoints FILE, a TOML file with lines "
            f'such as {_toml_key(missing[0])}.url = "http://127.0.0.1:8000/v1"'
        )
    return list(found.values())


def known_backends(connection: Connection, names: Iterable[str], endpoints: Mapping[str, Any]) -> dict[str, Backend]:
    """Expert name -> address of those of some experts that have one, as `backends` finds it; raises InputError."""
    known = experts.expert_ids(connection)
    given = {name: _entry(name, entry, known) for name, entry in endpoints.items() if name != EMBEDDER}
    rows = {name: experts.read_expert(connection, name)[1] for name in names}
    found = {name: _backend(row, given.get(name, {})) for name, row in rows.items()}
    return {name: backend for name, backend in found.items() if backend.url}


def embedder(entry: Any) -> Backend:
    """The server of embeddings, from the entry `embedder` of the file of --endpoints. Raises UsageError without one."""
    if entry is None:
        raise UsageError(
            f"the address of a server of embeddings is needed: give --endpoints FILE, a TOML file with [{EMBEDDER}], "
            "its url and its model, which must be the encoder of --encoder"
        )
    given = _checked(EMBEDDER, entry)
    if not given.get("url") or not given.get("model"):
        raise InputError(f"--endpoints, {EMBEDDER!r}: url and model are needed")
    return Backend(f"benchcoe-{EMBEDDER}", EMBEDDER, given["url"], given["model"], given.get("key_env"), None, None)


def slug(name: str) -> str:
    """A name in lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Name -> slug. Raises UsageError if two names have the same slug, or one has none."""
    found: dict[str, str] = {}
    for name in names:
        short = slug(name)
        if not short or short in found.values():
            other = next((n for n, s in found.items() if s == short), None)
            why = f"{other!r} and {name!r} would both be {short!r}" if other else f"nothing is left of {name!r}"
            raise UsageError(f"the names of the format have lower-case letters, digits and hyphens only: {why}")
        found[name] = short
    return found


def _backend(row: ExpertRow, given: Mapping[str, str]) -> Backend:
    url = given.get("url") or str(row.settings.get("base_url") or "")
    if url and not _is_plain(url):  # a release before 0.3.0 may have stored it
        raise UsageError(f"expert {row.name!r}: its base_url has a user, a password or a query: give its url anew")
    return Backend(
        expert=row.name,
        name=slug(row.name),
        url=url,
        model=given.get("model") or row.model or row.name,
        key_env=given.get("key_env") or row.settings.get("api_key_env"),
        price_in=row.price_in,
        price_out=row.price_out,
    )


def _entry(name: str, entry: Any, known: Mapping[str, int]) -> Mapping[str, str]:
    if name not in known:
        raise InputError(
            f"--endpoints, {quoted(name)}: the store has no such expert: `benchcoe-jobs experts` lists experts"
        )
    return _checked(name, entry)


def _checked(name: str, entry: Any) -> Mapping[str, str]:
    place = f"--endpoints, {quoted(name)}"
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise InputError(f"{place}: a table of texts is needed: {', '.join(_FIELDS)}")
    if unknown := sorted(entry.keys() - set(_FIELDS)):
        raise InputError(f"{place}: unknown field {quoted(unknown[0])}; known are {', '.join(_FIELDS)}")
    if "url" in entry and not _is_plain(entry["url"]):
        raise InputError(f"{place}: url must be http(s)://host[:port]/path, without user, password or query")
    if "key_env" in entry and not _VARIABLE.fullmatch(entry["key_env"]):
        raise InputError(f"{place}: key_env is the name of an environment variable, and never the key")
    return entry


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and not parts.query
        )
    except ValueError:
        return False


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
