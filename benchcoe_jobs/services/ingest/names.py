"""Names in imported files obey the rule of names that are typed: `characters.name_fault`.

A longer name does not fit into an index of PostgreSQL, and a name with control characters would act on the terminal of
every command that lists it.
"""

from __future__ import annotations

from functools import lru_cache

from benchcoe_jobs.characters import name_fault


def faulty_name(*, benchmark: str, subject: str, key: str | None = None) -> str | None:
    """The reason to skip a row because of one of its names; None if all can be names."""
    for what, name in (("benchmark", benchmark), ("subject", subject)):
        if fault := _cached(name):
            return _reason(what, name, fault)
    if key is not None and (fault := name_fault(key)):
        return _reason("key", key, fault)
    return None


_cached = lru_cache(1024)(name_fault)


def _reason(what: str, name: str, fault: str) -> str:
    shown = repr(name) if len(name) <= 40 else f"{name[:36]!r}... ({len(name)} characters)"
    return f"{what} {shown} cannot be a name: {fault}"
