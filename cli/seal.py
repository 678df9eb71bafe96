"""The command verify-seal: compare exported decisions with the seal that was written before their outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs.errors import BenchcoeError

from .command import Command, Session
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.evaluation.seal import Seal

_FILE = click.Path(readable=False, path_type=Path)


@click.command(cls=Command, own_store=True)
@click.argument("seal", type=_FILE)
@click.argument("decisions", type=_FILE)
def verify_seal(session: Session, seal: Path, decisions: Path) -> None:
    """Check decisions against a seal.

    SEAL is the file that `evaluate --seal` wrote before an outcome was read. DECISIONS is a table with the
    columns query_hash and expert, such as `export table --what decisions` writes. Needs no store: a reader who
    has both files can check that every decision is the one that was sealed. The hash of a query is its content
    hash, docs/store.md. The exit code is 1 if a decision was changed, added or removed.
    """
    from benchcoe_jobs.services.evaluation.seal import differences, read_decisions_file, read_seal

    stated = read_seal(seal)
    found = differences(stated, read_decisions_file(decisions))
    session.show(
        {"matches": not found, "differences": found, **stated.model_dump()},
        lambda: None if found else echo(_sentence(stated)),
    )
    if found:
        raise BenchcoeError(f"{decisions} does not match {seal}: {found[0]}")


def _sentence(seal: Seal) -> str:
    return (
        f"all {seal.n:,} decisions are those that were sealed at {seal.created_at}: router {seal.router} "
        f"({seal.router_sha256[:16]}), {seal.benchmark}, split {seal.split}; seal {seal.seal}"
    )
