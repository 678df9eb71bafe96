"""The command remove: delete stored data for good."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.wording import counted

from .command import Command, Session
from .job import JOB_ID
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.batch.removal import FinishedFile
    from benchcoe_jobs.services.removal.remove import Removed

_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_MOST_HOURS = 100 * 365 * 24

_LISTS = {
    "import": "imports",
    "expert": "experts",
    "benchmark": "benchmarks",
    "router": "routers",
    "label-set": "labels",
}
"""Kind -> the command that lists what can be removed."""


def age(_ctx: click.Context | None, _param: click.Parameter | None, value: str | None) -> timedelta | None:
    """A length of time in hours, days or weeks, as in 12h, 30d or 4w. Raises click.BadParameter."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,7})([hdw])", value)
    if found is None or (hours := int(found[1]) * _HOURS[found[2]]) > _MOST_HOURS:
        raise click.BadParameter(f"{value} is not an age: use hours, days or weeks, as in 12h, 30d or 4w.")
    return timedelta(hours=hours)


@click.command(cls=Command)
@click.argument("kind", type=click.Choice([*_LISTS, "batch", "served-decisions"]))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--older-than", callback=age, metavar="AGE", help="All that are at least that old: 12h, 30d or 4w.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask. Needed without a terminal.")
def remove(
    session: Session, kind: str, names: tuple[str, ...], older_than: timedelta | None, dry_run: bool, yes: bool
) -> None:
    """Remove stored data for good.

    \b
    import     An import, as `imports` lists it: what the file brought goes,
               and what it changed is as it was before.
    expert     An expert with all its results. `retire` keeps them.
    benchmark  A benchmark with its queries and all results on them.
    router     A router with its artifacts and evaluations.
    label-set  Labels that no router was trained on. NAME is the beginning
               of the fingerprint, as `labels` shows it.
    batch      A submitted file whose job has ended, with its prompts and
               answers. NAME is the number of its job, or give --older-than.
    served-decisions
               Decisions of `serve` with their outcomes and scores; give
               --older-than.

    The labels are updated in the same transaction. What something else needs stays, and the summary says so;
    or the removal is refused, and the message names the command that goes first. Result files that were
    written stay. On SQLite, the texts of removed files and of served decisions are overwritten in the database
    file; PostgreSQL frees their space at its next VACUUM.
    """
    if kind == "batch":
        _remove_files(session, names, older_than, dry_run, yes)
        return
    if kind == "served-decisions":
        _remove_served(session, names, older_than, dry_run, yes)
        return
    if older_than is not None:
        raise UsageError(f"--older-than is for `remove batch` and `remove served-decisions`: name each {kind}")
    if not names:
        raise UsageError(f"name the {kind} to remove: `benchcoe-jobs {_LISTS[kind]}` lists all")
    from benchcoe_jobs.services.removal.remove import remove

    done = []
    for name in names:
        if not (dry_run or yes):
            found = remove(session.store, session.settings.home, kind, name, dry_run=True)
            if not _confirmed(f"{kind} {found.name} ({_described(found)})"):
                continue
        found = remove(session.store, session.settings.home, kind, name, dry_run=dry_run)
        done.append(found)
        if not session.as_json:
            _show(found, dry_run)
    session.show(
        {"kind": kind, "removed": [one.as_json() for one in done], "dry_run": dry_run},
        lambda: None if done else echo("nothing removed"),
    )


def _show(removed: Removed, dry_run: bool) -> None:
    echo(f"{removed.kind} {removed.name} {'would be removed' if dry_run else 'removed'}: {_described(removed)}")
    for line in removed.removal.stays:
        echo(f"  {line}")


def _described(removed: Removed) -> str:
    """What goes with a removed thing, such as "12 scores, 12 queries", without the thing itself."""
    from benchcoe_jobs.store.removal.tally import NOUNS

    deleted = {table: n for table, n in removed.removal.deleted.items() if table != removed.kind.replace("-", "_")}
    parts = [counted(n, *NOUNS[table]) for table, n in deleted.items()]
    if removed.removal.restored:
        parts.append(f"{counted(removed.removal.restored, 'earlier score')} back")
    return ", ".join(parts) or "nothing else goes with it"


def _confirmed(what: str) -> bool:
    """Ask on a terminal. Raises UsageError if there is none."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what} would be removed for good: confirm with --yes")
    return click.confirm(f"Remove {what}?", err=True)


def _remove_files(
    session: Session, names: tuple[str, ...], older_than: timedelta | None, dry_run: bool, yes: bool
) -> None:
    from benchcoe_jobs.services.batch.removal import finished_files, remove_files

    if bool(names) == (older_than is not None):
        raise UsageError("name the jobs to remove, or give --older-than: `benchcoe-jobs jobs` lists all jobs")
    found = finished_files(session.store, [_job_id(name) for name in names], older_than)
    if found and not dry_run:
        if not (yes or _agreed(found)):
            found = []
        remove_files(session.store, session.settings.home, [file.job for file in found])
    what = counted(len(found), "file") + f" with {counted(sum(file.lines for file in found), 'line')}"
    session.show(
        {"kind": "batch", "removed": [asdict(file) for file in found], "dry_run": dry_run},
        lambda: echo(f"{what} would be removed" if dry_run else f"{what} removed"),
    )


def _remove_served(
    session: Session, names: tuple[str, ...], older_than: timedelta | None, dry_run: bool, yes: bool
) -> None:
    from benchcoe_jobs.services.removal.served import n_served, remove_served

    if names or older_than is None:
        raise UsageError("served decisions are removed by their age: give --older-than, and no name")
    n = n_served(session.store, older_than)
    if n and not dry_run:
        confirmed = yes or _confirmed(counted(n, "served decision"))
        n = remove_served(session.store, older_than) if confirmed else 0
    what = counted(n, "served decision")
    session.show(
        {"kind": "served-decisions", "removed": n, "dry_run": dry_run},
        lambda: echo(f"{what} would be removed" if dry_run else f"{what} removed"),
    )


def _job_id(name: str) -> int:
    try:
        job_id: int = JOB_ID(name)
    except click.BadParameter:
        raise UsageError(f"{name!r} is not the number of a job: `benchcoe-jobs jobs` lists all") from None
    return job_id


def _agreed(found: list[FinishedFile]) -> bool:
    """Ask on a terminal. Raises UsageError if there is none."""
    what = f"{counted(len(found), 'file')} (job {', '.join(str(file.job) for file in found[:10])}"
    what += ", ...)" if len(found) > 10 else ")"
    if not sys.stdin.isatty():
        raise UsageError(f"{what} would be removed for good: confirm with --yes")
    return click.confirm(f"Remove {what} with all prompts and answers?", err=True)
