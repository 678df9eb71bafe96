"""audit: what is wrong with stored results, and mending it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchcoe_jobs.errors import UnfinishedError, UsageError

from .command import Command, Session

if TYPE_CHECKING:
    from benchcoe_jobs.services.audit.checks import Finding
    from benchcoe_jobs.services.audit.repair import Repaired

REPAIRS = click.Choice(["order", "duplicates"])


@click.command(cls=Command)
@click.option("--benchmark", metavar="NAME", help="Every benchmark where it is left out.")
@click.option("--repair", type=REPAIRS, help="Mend a finding of this kind instead.")
@click.option("--expert", metavar="NAME", help="Whose rows to put in order, with --repair order.")
def audit(session: Session, benchmark: str | None, repair: str | None, expert: str | None) -> None:
    """Look for what is wrong with stored results.

    Looks for questions in several splits, experts whose scores go with nobody's (rows in another order,
    as multi-GPU logs are), constant answers, questions that nobody gets right, and files whose own
    reading of the answers differs. Every finding names the command that mends it; that of a note lists the
    questions. Ends with code 3 where one is an error.

    --repair order gives an expert's scores to the questions that they belong to, and --repair duplicates
    puts copies of a question into one split; each in one transaction, with the labels.
    """
    if (repair == "order") != (expert is not None):
        raise UsageError("--repair order and --expert NAME go together")
    if repair is not None:
        _repair(session, benchmark, repair, expert)
        return
    from benchcoe_jobs.services.audit.checks import Severity, audit

    findings = audit(session.store, benchmark)
    session.show({"findings": [finding.as_json() for finding in findings]}, lambda: _print(findings))
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if errors:
        raise UnfinishedError(f"{errors} of {len(findings)} findings make figures wrong: mend them first")


def _repair(session: Session, benchmark: str | None, repair: str, expert: str | None) -> None:
    from benchcoe_jobs.services.audit.repair import repair_duplicates, repair_order

    if expert is not None:
        done = repair_order(session.store, benchmark, expert)
    else:
        done = repair_duplicates(session.store, benchmark)
    session.show(done.as_json(), lambda: click.echo(_said(done)))


def _said(done: Repaired) -> str:
    if done.order is None:
        return f"{done.benchmark}: {done.moved} queries put into the split of their first copy; the labels follow"
    order = done.order
    return (
        f"{done.benchmark}: {done.moved} scores of {done.expert} given to their own questions (the log of "
        f"{order['workers']} workers, {order['layout']}); the labels follow"
    )


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        about = finding.benchmark if finding.expert is None else f"{finding.benchmark}, {finding.expert}"
        click.echo(f"{finding.severity}: {about}: {finding.what}\n    {finding.command}")
    if not findings:
        click.echo("nothing found")
