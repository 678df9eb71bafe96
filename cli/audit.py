"""The command audit: find faults in stored results, and repair them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from benchcoe_jobs.errors import UnfinishedError, UsageError
from benchcoe_jobs.wording import counted

from .command import Command, Session
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.audit.findings import Finding
    from benchcoe_jobs.services.audit.repair import Repaired

REPAIRS = click.Choice(["order", "duplicates"])


@click.command(cls=Command)
@click.option("--benchmark", metavar="NAME", help="Check only this benchmark. [every benchmark]")
@click.option("--repair", type=REPAIRS, help="Repair findings of this kind instead of listing findings.")
@click.option("--undo", type=REPAIRS, help="Undo the latest repair of this kind.")
@click.option("--expert", metavar="NAME", help="The expert whose scores are reordered, with --repair or --undo order.")
def audit(session: Session, benchmark: str | None, repair: str | None, undo: str | None, expert: str | None) -> None:
    """Find faults in stored results, and repair them.

    Reports questions that are in several splits, experts whose scores do not correlate with the others
    (their rows are in another order, as in the logs of several GPUs), experts with the same scores,
    constant answers, questions that no expert answers correctly, and files that extract other answers than
    the scorer. Retired experts are not reported. Each finding names the command that repairs it; a note
    names the command that lists the questions. The exit code is 3 if one of the findings is an error.

    --repair order assigns an expert's scores to the questions that they belong to. It is refused if it is
    not certain that this expert's rows are in the wrong order. --repair duplicates moves the copies of a
    question to one split. Each repair is one transaction, updates the labels, and can be undone with --undo.
    """
    if repair is not None and undo is not None:
        raise UsageError("give --repair or --undo, not both")
    if ("order" in (repair, undo)) != (expert is not None):
        raise UsageError("--repair order or --undo order, and --expert NAME go together")
    if repair is not None or undo is not None:
        _repair(session, benchmark, expert, undoes=undo is not None)
        return
    from benchcoe_jobs.services.audit.checks import audit
    from benchcoe_jobs.services.audit.findings import Severity

    findings = audit(session.store, benchmark)
    session.show({"findings": [finding.as_json() for finding in findings]}, lambda: _print_findings(findings))
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if errors:
        raise UnfinishedError(
            f"{counted(errors, 'error')} among {counted(len(findings), 'finding')}: "
            "figures are wrong until the command of each error has been run"
        )


def _repair(session: Session, benchmark: str | None, expert: str | None, *, undoes: bool) -> None:
    from benchcoe_jobs.services.audit.repair import repair_duplicates, repair_order, undo_duplicates, undo_order

    if expert is not None:
        repaired = (undo_order if undoes else repair_order)(session.store, benchmark, expert)
    else:
        repaired = (undo_duplicates if undoes else repair_duplicates)(session.store, benchmark)
    session.show(repaired.as_json(), lambda: echo(_describe(repaired)))
    if not undoes:
        of_expert = "" if expert is None else f" --expert {shlex.quote(expert)}"
        where = f"--benchmark {shlex.quote(repaired.benchmark)}"
        session.note(f"to undo: benchcoe-jobs audit {where} --undo {repaired.kind}{of_expert}")


def _describe(repaired: Repaired) -> str:
    if repaired.undone:
        what = counted(repaired.moved, "query", "queries")
        if repaired.expert is not None:
            what = f"{counted(repaired.moved, 'score')} of {repaired.expert}"
        return f"{repaired.benchmark}: {what} moved back, as before the repair; the labels are updated"
    if repaired.order is None:
        queries = counted(repaired.moved, "query", "queries")
        return f"{repaired.benchmark}: {queries} moved to the split of the first copy; the labels are updated"
    order = repaired.order
    return (
        f"{repaired.benchmark}: {counted(repaired.moved, 'score')} of {repaired.expert} assigned to other questions "
        f"(the log of {order['workers']} workers, {order['layout']}); the labels are updated"
    )


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        subject = finding.benchmark if finding.expert is None else f"{finding.benchmark}, {finding.expert}"
        echo(f"{finding.severity}: {subject}: {finding.what}", f"    {finding.command}")
    if not findings:
        echo("no findings")
