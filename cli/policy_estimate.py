"""The command policy-estimate: what other policies would have scored on served traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchcoe_jobs.wording import percent

from .command import Command, Session, table
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.evaluation.policy_estimate import Estimate, TrafficReport


@click.command(cls=Command)
@click.argument("router", required=False)
@click.option("--against", metavar="ROUTER", multiple=True, help="Also estimate this router. May be repeated.")
def policy_estimate(session: Session, router: str | None, against: tuple[str, ...]) -> None:
    """Estimate the scores of other policies on served traffic.

    Uses the decisions of a router that serve stored with --explore, and whose answers have a score. Estimates
    the router itself without exploration, each expert alone, and with --against other routers, which decide
    about the texts that --log-prompts stored. The estimates are inverse propensity (IPS), self-normalised, and
    doubly robust with the stored scores of the router's benchmark; the last is preferred. None is given if the
    effective sample size is below 100.
    """
    from benchcoe_jobs.services.evaluation.policy_estimate import estimate_policies

    report = estimate_policies(session.store, session.settings.home, router, against)
    session.show(report.as_json(), lambda: _print(report))


def _print(report: TrafficReport) -> None:
    table(
        [
            [
                one.policy,
                str(one.n),
                str(one.agreeing),
                f"{one.effective:.0f}",
                *map(_shown, (one.ips, one.self_normalised, one.doubly_robust)),
            ]
            for one in report.policies
        ],
        ["policy", "n", "agreeing", "effective", "IPS", "self-normalised", "doubly robust"],
    )
    echo(
        f"traffic of router {report.router}: {report.decisions} decisions, {report.scored} with a score, "
        f"{report.explored} of these explored"
    )


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{percent(estimate.mean)} [{percent(estimate.low)}, {percent(estimate.high)}]"
