"""Profiling that stops on a subject when it is settled: its options, and what it prints."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.wording import counted, percent

from .command import Finite, Session, table
from .job_commands import run_job
from .output import echo

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from benchcoe_jobs.store.job_queue.jobs import JobRow

CONFIDENCE, WORTHWHILE = 0.999, 0.01

until_settled_option = click.option(
    "--until-settled", is_flag=True, help="Ask in rounds, and stop on a subject when it is settled who wins it."
)
confidence_option = click.option(
    "--confidence",
    type=Finite(0.5, 1, max_open=True),
    help=f"With --until-settled: the least probability that a result is right. [{CONFIDENCE}]",
)
worthwhile_option = click.option(
    "--worthwhile",
    type=Finite(0, 1),
    help=f"With --until-settled: a win by less than this difference of means need not be found. [{WORTHWHILE}]",
)


def require_rounds(
    until_settled: bool,
    split: str | None,
    limit: int | None,
    max_cost: float | None,
    confidence: float | None,
    worthwhile: float | None,
) -> None:
    """Raise UsageError for options of `profile` that contradict one another."""
    if not until_settled:
        if confidence is not None or worthwhile is not None:
            raise UsageError("--confidence and --worthwhile say when a subject is settled: add --until-settled")
        return
    if split not in (None, Split.TRAIN):
        raise UsageError(f"--until-settled asks the split train: omit it, because the split {split} is asked in full")
    if limit is not None:
        raise UsageError("--until-settled finds out how many queries it needs: omit --limit")
    if max_cost is not None:
        raise UsageError("--until-settled has no --max-cost: omit one of the two; `cancel` stops a job at any time")


def run_until_settled(
    session: Session,
    expert: str,
    names: Sequence[str] = (),
    *,
    confidence: float | None = None,
    worthwhile: float | None = None,
    retry_errors: bool = False,
    priority: int,
    wait: bool,
    before: Callable[[Connection], object] = lambda connection: None,
) -> JobRow | None:
    """Submit the job and follow it, see `run_job`."""
    from benchcoe_jobs.services.settling.job import KIND, settling_request
    from benchcoe_jobs.services.settling.rounds import Rule

    rule = Rule(
        CONFIDENCE if confidence is None else confidence,
        WORTHWHILE if worthwhile is None else worthwhile,
    )
    request = settling_request(expert, names, rule=rule, retry_errors=retry_errors)
    return run_job(session, KIND, request, what=f"profiling {expert}", wait=wait, priority=priority, before=before)


def print_settled(session: Session, report: Mapping[str, Any]) -> None:
    """Print one row per subject, and how much of each benchmark was asked."""
    expert = report["expert"]
    for row in report["benchmarks"]:
        subjects = row["subjects"]
        columns = ["subject", "scored", "of", "mean", "low", "high", "label", "settled"]
        table([_cells(subject) for subject in subjects], columns)
        n_settled, n_scored = sum(each["settled"] for each in subjects), sum(each["n"] for each in subjects)
        echo(
            f"{row['benchmark']}, split {report['split']}: {n_scored} of "
            f"{counted(row['queries'], 'query', 'queries')} scored; settled early: {n_settled} of "
            f"{counted(len(subjects), 'subject')}"
        )
    echo(f"{expert}: loaded {counted(report['loads'], 'time')}")
    session.note(
        "note: validation and test are not asked in rounds: "
        f"`benchcoe-jobs profile {shlex.quote(expert)} --split test` asks test in full"
    )


def _cells(subject: Mapping[str, Any]) -> list[str]:
    settled = f"after {subject['n']} of {subject['n_queries']}" if subject["settled"] else "-"
    return [
        subject["subject"],
        str(subject["n"]),
        str(subject["n_queries"]),
        *(percent(subject[name]) for name in ("mean", "low", "high")),
        subject["label"] or "(none)",
        settled,
    ]
