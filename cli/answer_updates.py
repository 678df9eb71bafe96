"""Show what corrected answers of a benchmark changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchcoe_jobs.wording import counted

from .command import cell, table
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.ingest.answer_update import AnswerUpdate

MAX_LISTED = 10
"""Answers and scores that are shown."""


def print_update(update: AnswerUpdate) -> None:
    """Print the corrected answers, and the scores and labels that changed with them."""
    would = "would be " if update.dry_run else ""
    changed = "would change" if update.dry_run else "changed"
    echo(f"  {counted(len(update.answers), 'answer')} {would}corrected")
    for answer in update.answers[:MAX_LISTED]:
        echo(f"    query {answer.key!r}: {answer.after!r} instead of {answer.before!r}")
    _more(len(update.answers))
    echo(f"  {counted(update.scored, 'response')} scored again, {counted(len(update.scores), 'score')} {changed}")
    for score in update.scores[:MAX_LISTED]:
        echo(f"    query {score.key!r}, {score.expert}: {score.after:g} instead of {score.before:g}")
    _more(len(update.scores))
    for expert, n in update.kept.items():
        kept = f"{expert} keeps {counted(n, 'imported score')} on them"
        echo(f"  {kept}: if its file had the old answers, import a corrected one with --replace")
    table(
        [[flip.pool, flip.split, flip.subject, cell(flip.before), cell(flip.after)] for flip in update.subject_flips],
        ["pool", "split", "subject", "before", "after"],
    )
    for pool, count in update.query_flips.items():
        echo(f"  {counted(count, 'query label')} {changed} in pool {pool}")


def _more(n: int) -> None:
    if n > MAX_LISTED:
        echo(f"    ... and {n - MAX_LISTED:,} more (--json lists all)")
