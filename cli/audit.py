"""The command audit: find faults in stored results, and repair them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchcoe_jobs.errors import UnfinishedError, UsageError
from benchcoe_jobs.wording import counted

from .command import Command, Session
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.audit.checks import Finding
    from benchcoe_jobs.services.audit.repair import Repaired

REPAIRS = click.Choice(["order", "duplicates"])


@click.command(cls=Command)
@click.option("--benchmark", metavar="NAME", help="Check only this benchmark. [every benchmark]")
@click.option("--repair", type=REPAIRS, help="Repair findings of this kind instead of listing findings.")
@click.option("--expert", metavar="NAME", help="The expert whose scores are reordered, with --repair order.")
def audit(session: Session, benchmark: str | None, repair: str | None, expert: str | None) -> None:
    """Find faults in stored results, and repair them.

    Reports questions that are in several splits, experts whose scores correlate with no other expert
    (their rows are in another order, as in the logs of several GPUs), constant answers, questions that
    no expert answers correctly, and files that extract other answers than the scorer. Each finding names
    the command that repairs it; a note names the command that lists the questions. The exit code is 3 if
    one of the findings is an error.

    --repair order assigns an expert's scores to the questions that they belong to. --repair duplicates
    moves the copies of a question to one split. Each repair is one transaction and updates the labels.
    """
    if (repair == "order") != (expert is not None):
        raise UsageError("--repair order and --expert NAME go together")
    if repair is not None:
        _repair(session, benchmark, repair, expert)
        return
    from benchcoe_jobs.services.audit.checks import Severity, audit

    findings = audit(session.store, benchmark)
    session.show({"findings": [finding.as_json() for finding in findings]}, lambda: _print_findings(findings))
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if errors:
        raise UnfinishedError(
            f"{counted(errors, 'error')} among {counted(len(findings), 'finding')}: "
            "figures are wrong until the command of each error has been run"
        )


def _repair(session: Session, benchmark: str | None, repair: str, expert: str | None) -> None:
    from benchcoe_jobs.services.audit.repair import repair_duplicates, repair_order

    if expert is not None:
        repaired = repair_order(session.store, benchmark, expert)
    else:
        repaired = repair_duplicates(session.store, benchmark)
    session.show(repaired.as_json(), lambda: echo(_describe(repaired)))


def _describe(repaired: Repaired) -> str:
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
