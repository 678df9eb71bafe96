"""Seals: the decisions of an evaluation, fixed by a hash tree before an outcome is read, and checked by anyone.

The leaves are the decisions (content hash of the query, expert), sorted, so the order of an export does not matter. The
tree is that of RFC 6962 (Certificate Transparency): SHA-256 with the byte 0 before a leaf and 1 before two nodes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchcoe_jobs import __version__
from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.files import open_regular
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import Row
from benchcoe_jobs.importers.reading.rows import converted, read_rows
from benchcoe_jobs.services.evaluation.decisions import decide
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.session import Store

_LARGEST = 100_000

Sealed = tuple[str, str]
"""(content hash of a query, name of the chosen expert)."""


class Seal(BaseModel):
    """The content of a seal: the root of the hash tree over `n` decisions, and what made them.

    `router_sha256` is the fingerprint of the router's artifact, `snapshot_sha256` that of the routing snapshot. `seal`
    is the SHA-256 of the canonical JSON of the rest; its publication fixes all of it.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["benchcoe-jobs seal 1"] = "benchcoe-jobs seal 1"
    version: str
    created_at: str
    router: str
    router_sha256: str
    snapshot_sha256: str
    benchmark: str
    split: str
    n: int = Field(ge=1)
    root: str
    seal: str = ""

    def digest(self) -> str:
        """The SHA-256 (hex) of all other fields."""
        content = self.model_dump(exclude={"seal"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SealedEvaluation:
    """A seal that was written, the request that was decided, and the evaluation whose decisions it fixes."""

    seal: Seal
    request: Mapping[str, Any]
    evaluation_id: int


def root_of(decisions: Iterable[Sealed]) -> str:
    """The root (hex) of the hash tree over decisions in any order. There must be at least one."""
    level = [hashlib.sha256(b"\x00" + json.dumps(pair).encode()).digest() for pair in sorted(decisions)]
    while len(level) > 1:
        pairs = [level[start : start + 2] for start in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\x01" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0].hex()


def require_new(path: Path) -> None:
    """Raise UsageError if the file of a seal exists: a seal is never replaced."""
    if path.exists():
        raise UsageError(f"{path} exists, and a seal is never replaced: name another file")


def seal_evaluation(store: Store, home: Path, request: Mapping[str, Any], path: Path) -> SealedEvaluation:
    """Decide the queries of an evaluation's request, store the decisions, and write their seal to a new file.

    No outcome is read. A job with the same request finds the stored decisions. Raises UsageError if the file exists,
    and as `decide` does; InputError if it cannot be written.
    """
    require_new(path)
    decided = decide(store, home, request)
    with store.reading() as connection:
        hashes = catalog.content_hashes(connection, [question.id for question in decided.questions])
    pairs = zip(decided.questions, decided.decisions, strict=True)
    unsealed = Seal(
        version=__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        router=decided.snapshot.router.name,
        router_sha256=decided.snapshot.router.fingerprint,
        snapshot_sha256=decided.snapshot.fingerprint,
        benchmark=decided.benchmark,
        split=decided.split,
        n=len(decided.questions),
        root=root_of((hashes[question.id], decision.expert) for question, decision in pairs),
    )
    seal = unsealed.model_copy(update={"seal": unsealed.digest()})
    _write_new(path, seal.model_dump_json(indent=1).encode() + b"\n")
    return SealedEvaluation(seal, request, decided.evaluation_id)


def read_seal(path: Path) -> Seal:
    """The seal in a file. Raises InputError if it is not one, or was altered."""
    with open_regular(path) as file:
        content = file.read(_LARGEST + 1)
    try:
        seal = Seal.model_validate_json(content[:_LARGEST])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} is not a seal: {where + ': ' if where else ''}{first['msg']}") from error
    if seal.digest() != seal.seal:
        raise InputError(f"{path} was altered: the SHA-256 of its content is not the one in its field seal")
    return seal


def read_decisions_file(path: Path) -> list[Sealed]:
    """The decisions in a table with the columns `query_hash` and `expert`, as `export table --what decisions` writes.

    Raises InputError if a row cannot be used: one decision that is left out changes the root.
    """

    def decision(line: int, row: Row) -> Sealed:
        return columns.required(row, "query_hash"), columns.required(row, "expert")

    wanted = ("query_hash", "expert")
    found: list[Sealed] = []
    for item in converted(path, read_rows(path, wanted, [(name,) for name in wanted]), decision):
        if isinstance(item, SkippedRow):
            raise InputError(f"{path}, line {item.line}: {item.reason}")
        if isinstance(item, tuple):
            found.append(item)
    return found


def differences(seal: Seal, decisions: Sequence[Sealed]) -> list[str]:
    """Why decisions are not those that a seal fixes; empty if they are."""
    if len(decisions) != seal.n:
        return [f"the seal is of {seal.n:,} decisions, and the file has {len(decisions):,}"]
    found = root_of(decisions)
    if found != seal.root:
        return [f"the root of the decisions is {found[:16]}, and that of the seal {seal.root[:16]}: some were changed"]
    return []


def _write_new(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise UsageError(f"{path} exists, and a seal is never replaced: name another file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
