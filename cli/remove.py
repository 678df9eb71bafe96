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

_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_MOST_HOURS = 100 * 365 * 24


def age(_ctx: click.Context | None, _param: click.Parameter | None, value: str | None) -> timedelta | None:
    """A length of time in hours, days or weeks, as in 12h, 30d or 4w. Raises click.BadParameter."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,7})([hdw])", value)
    if found is None or (hours := int(found[1]) * _HOURS[found[2]]) > _MOST_HOURS:
        raise click.BadParameter(f"{value} is not an age: use hours, days or weeks, as in 12h, 30d or 4w.")
    return timedelta(hours=hours)


@click.command(cls=Command)
@click.argument("kind", type=click.Choice(["batch"]))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--older-than", callback=age, metavar="AGE", help="All that ended at least that long ago: 12h, 30d or 4w."
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask. Needed without a terminal.")
def remove(
    session: Session, kind: str, names: tuple[str, ...], older_than: timedelta | None, dry_run: bool, yes: bool
) -> None:
    """Remove stored data for good.

    KIND is batch: a submitted file whose job has ended, with its prompts and answers. NAME is the number of
    its job. Result files that were written stay. On SQLite, the removed texts are overwritten in the database
    file; PostgreSQL frees their space at its next VACUUM.
    """
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
        {"kind": kind, "removed": [asdict(file) for file in found], "dry_run": dry_run},
        lambda: echo(f"{what} would be removed" if dry_run else f"{what} removed"),
    )


def _job_id(name: str) -> int:
    job_id: int = JOB_ID(name)
    return job_id


def _agreed(found: list[FinishedFile]) -> bool:
    """Ask on a terminal. Raises UsageError if there is none."""
    what = f"{counted(len(found), 'file')} (job {', '.join(str(file.job) for file in found[:10])}"
    what += ", ...)" if len(found) > 10 else ")"
    if not sys.stdin.isatty():
        raise UsageError(f"{what} would be removed for good: confirm with --yes")
    return click.confirm(f"Remove {what} with all prompts and answers?", err=True)
