"""The command verify-expert, and the repetition at profiling that it compares with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.errors import UnfinishedError
from benchcoe_jobs.wording import counted, percent

from .command import Command, Session
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.drift.verify import Verified


@click.command(cls=Command)
@click.argument("expert")
@click.option("--benchmark", metavar="NAME", help="The benchmark. [the one with the most stored answers]")
@click.option("--limit", type=click.IntRange(min=1), default=400, show_default=True, help="Ask at most N questions.")
def verify_expert(session: Session, expert: str, benchmark: str | None, limit: int) -> None:
    """Ask stored questions again: is it still the same expert?

    Questions that the expert has answered are asked again in random order, until a sequential test decides
    whether it agrees with its stored answers as often as it agreed with itself right after it was profiled
    (`profile --repeat`; 90 % if that was not measured), or 20 points less. An unchanged expert is taken for
    another one in at most 1 of 1,000 checks, and a changed one for the same in at most 1 of 1,000. Different models
    usually disagree on 30 % or more, and a few dozen questions decide.

    An expert that has changed is marked: its labels count as stale, and commands that route to it warn. A
    later check that finds the profiled expert again takes the mark away. Nothing else is stored. The expert is
    loaded by this process. The exit code is 3 if the expert has changed, and if the questions did not decide.
    """
    from benchcoe_jobs.services.drift.sprt import Verdict
    from benchcoe_jobs.services.drift.verify import verify

    found = verify(session.store, expert, benchmark, limit)
    session.show(found.as_json(), lambda: echo(_sentence(found)))
    if not found.is_measured:
        session.note("note: its agreement with itself was not measured (profile --repeat), so 90 % was taken")
    if found.verdict is Verdict.DRIFTED:
        raise UnfinishedError(
            f"{expert} is not the expert that was profiled: add it under another name and profile that, or take it out "
            f"of routing with `benchcoe-jobs retire {shlex.quote(expert)}`"
        )
    if found.verdict is Verdict.UNDECIDED:
        raise UnfinishedError(
            f"{counted(found.n, 'question')} did not decide whether {expert} has changed: give a higher --limit, or "
            "profile more questions first"
        )


def repeated(session: Session, expert: str, benchmarks: Sequence[str], n: int) -> list[dict[str, Any]]:
    """Ask `n` queries of each benchmark again and store how often the answers agree; one row for each benchmark."""
    from benchcoe_jobs.services.drift.verify import measure

    return [row.as_json() for row in measure(session.store, expert, benchmarks, n)]


def _sentence(found: Verified) -> str:
    said = {
        "same": "is the expert that was profiled",
        "drifted": "has changed",
        "undecided": "may have changed or not",
    }[found.verdict]
    return (
        f"{found.expert} {said}: {found.agreed} of {counted(found.n, 'answer')} on {found.benchmark} are the stored "
        f"ones (tested: {percent(found.own_agreement)} against {percent(found.changed_agreement)})"
    )
