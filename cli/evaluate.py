"""evaluate: a router against its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError

from .command import Command, Finite, Session, cell, percent, table
from .job_commands import get_done, require_all, waits
from .label import SPLITS
from .routing_options import decides

if TYPE_CHECKING:
    from benchcoe_jobs.services.evaluation.cost_curve import CostReport
    from benchcoe_jobs.services.evaluation.report import Report


@click.command(cls=Command)
@click.argument("router", required=False)
@click.option("--benchmark", metavar="NAME", help="The router's own where it is left out.")
@click.option("--split", type=SPLITS, default=Split.TEST.value, show_default=True)
@decides
@click.option(
    "--router-price",
    type=Finite(min=0),
    default=0.0,
    show_default=True,
    help="What a second of the router's own work costs, in the unit of the experts' costs.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw accuracy against cost into a PNG or SVG file. Needs the extra plots.",
)
@waits
def evaluate(
    session: Session,
    router: str | None,
    benchmark: str | None,
    split: str,
    fallback: bool,
    max_cost: float | None,
    quality_weight: float,
    router_price: float,
    plot: Path | None,
    wait: bool,
) -> None:
    """Score a router on a benchmark's queries.

    Every query of the split is routed and the decisions are stored; only then are the outcomes looked
    up. An expert with an engine is asked the queries that it was chosen for and has not answered yet, and
    no others; where the others' scores are missing on most of them, the report is on the chosen experts
    alone. Else the comparison is over the same queries throughout: each expert, the best single expert
    (chosen on the training split), chance, and the two oracles that no router can beat.
    """
    from benchcoe_jobs.services.evaluation.job import evaluate_request

    if plot is not None:
        from benchcoe_jobs.services.evaluation.cost_plot import check_plot

        check_plot(plot)
    request = evaluate_request(
        router,
        benchmark,
        split,
        falls_back=fallback,
        max_cost=max_cost,
        quality_weight=quality_weight,
        second_price=router_price,
    )
    job = get_done(session, "evaluate", request, what="evaluating", wait=wait)
    if job is not None:
        found = job.report or {}
        session.show(found, lambda: _print(session, found))
        if plot is not None:
            _draw(found, plot)
        require_all(job)
    elif plot is not None:
        session.note("note: nothing is drawn yet: give the same command with --wait")


def _draw(found: Mapping[str, Any], plot: Path) -> None:
    from benchcoe_jobs.services.evaluation.cost_curve import CostReport
    from benchcoe_jobs.services.evaluation.cost_plot import plot_costs

    if not found.get("costs"):
        raise UsageError(
            f"{plot} was not drawn: accuracy against cost needs a score and a cost of every expert on the same queries "
            "(prices are given to add-expert)"
        )
    stamp = "in-sample, " if found["in_sample"] else ""
    about = f"{found['router']} on {found['benchmark']}, {stamp}split {found['split']}, n = {found['n']}"
    plot_costs(CostReport.from_json(found["costs"]), about, plot)


def _print(session: Session, found: Mapping[str, Any]) -> None:
    from benchcoe_jobs.services.evaluation.report import Report

    if "asked" in found:
        print_chosen_only(session, found)
    else:
        print_report(session, Report.from_json(found))


def print_chosen_only(session: Session, report: Mapping[str, Any]) -> None:
    """What the chosen experts came to, and what it cost beside asking everybody."""
    table(
        [
            [one["expert"], percent(one["calls"]), cell(one["n"]), percent(one["accuracy"]) if one["n"] else "-"]
            for one in report["experts"]
        ],
        ["expert", "calls", "scored", "accuracy on them"],
    )
    stamp = "IN-SAMPLE, " if report["in_sample"] else ""
    low, high = (percent(report["interval"][end]) for end in ("low", "high"))
    click.echo(
        f"{stamp}{report['distribution']}: {report['benchmark']}, split {report['split']}, n = {report['n']}: "
        f"{percent(report['accuracy'])} routed, 95 % interval [{low}, {high}]"
    )
    asked = report["asked"]
    click.echo(f"asked for it: {asked['queries']} queries, {asked['loads']} loads, {asked['seconds']:.1f} s")
    if report["cost"]:
        click.echo(
            f"cost per query: {report['cost']['router']:.4g} routed, "
            f"about {report['cost']['every_expert']:.4g} if every expert had been asked"
        )
    if report["without_scores"]:
        session.note(f"note: {report['without_scores']} queries have no score of the expert that was chosen")


def print_report(session: Session, report: Report) -> None:
    """The report as a table, best first, with the gain under it."""
    rows = [(f"router {report.router}", report.accuracy, "")]
    rows += [(name, accuracy, percent(report.calls.get(name, 0.0))) for name, accuracy in report.experts.items()]
    rows += [
        ("(random expert)", report.random, ""),
        ("(subject oracle)", report.subject_oracle, ""),
        ("(oracle)", report.oracle, ""),
    ]
    rows.sort(key=lambda row: -row[1])
    table([[name, percent(accuracy), calls] for name, accuracy, calls in rows], ["expert", "accuracy", "calls"])
    stamp = "IN-SAMPLE, " if report.in_sample else ""
    click.echo(
        f"{stamp}{report.distribution}: {report.benchmark}, split {report.split}, n = {report.n}. "
        f"Gain over the best single "
        f"expert ({report.best_single['expert']}): {100 * report.gain['value']:+.1f} points, "
        f"95 % interval [{100 * report.gain['low']:+.1f}, {100 * report.gain['high']:+.1f}]"
    )
    if report.fell_back:
        to_best = report.calls.get(report.best_single["expert"], 0.0) >= report.fell_back
        to = "the best single expert" if to_best else "what experts come to on all subjects"  # where costs count
        click.echo(f"fell back to {to} on {report.fell_back:.1%} of the queries: not enough like the training ones")
    if report.cost:
        click.echo(
            f"cost per query: {report.cost['router']:.4g} routed, {report.cost['best_single']:.4g} best single expert, "
            f"{report.cost['every_expert']:.4g} every expert"
        )
    if report.costs:
        print_costs(report.costs)
    for warning in report.warnings:
        session.note(f"note: {warning}")


def print_costs(costs: CostReport) -> None:
    """Accuracy against cost: the router and its baselines, then the router at several prices of quality."""
    named = [
        ("router", costs.router),
        ("cheapest expert", costs.cheapest),
        ("best single expert", costs.best_single),
        ("random mix of the two", costs.mix),
    ]
    named += [(f"router, quality weight {point.name}", point) for point in costs.curve]
    table([[name, f"{p.cost:.4g}", percent(p.accuracy)] for name, p in named], ["", "cost per query", "accuracy"])
    click.echo(
        f"{100 * costs.gain_over_mix:+.1f} points over the random mix of equal cost; the router itself took "
        f"{1000 * costs.router_seconds:.2f} ms a query"
    )
