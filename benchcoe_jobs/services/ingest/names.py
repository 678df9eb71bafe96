"""Names in imported files obey the rules of names that are typed: `characters.new_name_fault`, `name_fault`.

A longer name does not fit into an index of PostgreSQL, and a name with control characters would act on the terminal of
every command that lists it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from benchcoe_jobs.characters import MAX_NAME, UNSAFE, name_fault, new_name_fault
from benchcoe_jobs.importers.base import UNKNOWN_SUBJECT


def faulty_name(*, benchmark: str, subject: str, key: str | None = None) -> str | None:
    """The reason to skip a row because of one of its names; None if all can be names."""
    if fault := _benchmark_fault(benchmark):
        return _reason("benchmark", benchmark, fault)
    if subject != UNKNOWN_SUBJECT and (fault := _subject_fault(subject)):
        return _reason("subject", subject, fault)
    if key is not None and (fault := name_fault(key)):
        return _reason("key", key, fault)
    return None


@lru_cache(1024)
def expert_name(model: str) -> str | None:
    """The name of the expert that a file calls `model`; None if it can have none.

    Blanks at the ends are left out, and control characters and a hyphen at the beginning become "_". Of a name that is
    too long, the end is replaced by a digest of the whole.
    """
    name = UNSAFE.sub("_", model.strip()).replace("\n", "_").replace("\t", "_")
    if name.startswith("-"):
        name = f"_{name[1:]}"
    if len(name) > MAX_NAME:
        digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        name = f"{name[: MAX_NAME - 13].rstrip()}-{digest}"
    return None if new_name_fault(name) else name


_benchmark_fault = lru_cache(1024)(new_name_fault)
_subject_fault = lru_cache(1024)(name_fault)


def _reason(what: str, name: str, fault: str) -> str:
    shown = repr(name) if len(name) <= 40 else f"{name[:36]!r}... ({len(name)} characters)"
    return f"{what} {shown} cannot be a name: {fault}"
