"""The command evaluate: a router compared with its baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.wording import counted, percent

from .command import Command, Finite, Session, cell, table
from .drift_notes import note_drifted_of_router
from .job_commands import priority_option, require_complete, run_job, wait_option
from .label import SPLITS
from .output import echo
from .quotes import show_quote_of_experts
from .routing_options import routing_options

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from benchcoe_jobs.services.evaluation.cost_curve import CostReport
    from benchcoe_jobs.services.evaluation.report import Report
    from benchcoe_jobs.services.evaluation.seal import SealedEvaluation
    from benchcoe_jobs.store.job_queue.jobs import JobRow


@click.command(cls=Command)
@click.argument("router", required=False)
@click.option("--benchmark", metavar="NAME", help="The benchmark to route. [the one that the router was trained on]")
@click.option("--split", type=SPLITS, default=Split.TEST.value, show_default=True, help="The split to route.")
@routing_options
@click.option(
    "--router-price",
    type=Finite(min=0),
    default=0.0,
    show_default=True,
    help="Cost of a second of the router's own work, in the unit of the experts' costs.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw accuracy against cost to a PNG or SVG file. Needs the extra plots.",
)
@click.option(
    "--quote",
    is_flag=True,
    help="Store the decisions and show what the queries that must be asked would take; ask nothing.",
)
@click.option(
    "--seal",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Before any outcome is read, write the hash of all decisions to a new file, which verify-seal checks.",
)
@priority_option
@wait_option
def evaluate(
    session: Session,
    router: str | None,
    benchmark: str | None,
    split: str,
    fallback: bool,
    max_cost: float | None,
    quality_weight: float | Literal["auto"],
    router_price: float,
    plot: Path | None,
    quote: bool,
    seal: Path | None,
    priority: int,
    wait: bool,
) -> None:
    """Measure a router on a benchmark's queries.

    Every query of the split is routed and the decisions are stored before any outcome is read. An expert
    with an engine is asked the queries that it was chosen for and has not answered yet, and no others. The
    report then compares the router with each expert, the best single expert (chosen on the training
    split), a random expert and the two oracles, all over the same queries. If most of those queries have no
    score from the other experts, the report covers only the chosen experts.
    """
    from benchcoe_jobs.services.evaluation.decisions import evaluate_request

    if plot is not None:
        from benchcoe_jobs.services.evaluation.cost_plot import require_plot

        require_plot(plot)
    request = partial(
        evaluate_request,
        router=router,
        benchmark=benchmark,
        split=split,
        falls_back=fallback,
        max_cost=max_cost,
        quality_weight=quality_weight,
        second_price=router_price,
    )
    if quote:
        from benchcoe_jobs.services.evaluation.quote import quote_evaluation

        with session.store.writing() as connection:
            work = request(connection)
        show_quote_of_experts(session, quote_evaluation(session.store, session.settings.home, work))
        return
    note_drifted_of_router(session, router)
    sealed = None if seal is None else _sealed(session, request, seal)
    job = run_job(
        session,
        "evaluate",
        request if sealed is None else sealed.request,
        what="evaluating",
        wait=wait,
        priority=priority,
    )
    if job is not None:
        report = job.report or {}
        if sealed is not None:
            _require_sealed(sealed, job)
        session.show(report, lambda: _print(session, report))
        if plot is not None:
            _draw(report, plot)
        require_complete(job)
    elif plot is not None:
        session.note(f"note: {plot} is not drawn: repeat the command with --wait to draw it")


def _sealed(session: Session, request: Callable[[Connection], Mapping[str, Any]], path: Path) -> SealedEvaluation:
    """Decide here, write the seal, and note it: only then a job that reads outcomes is opened."""
    from benchcoe_jobs.services.evaluation.seal import require_new, seal_evaluation

    require_new(path)
    with session.store.writing() as connection:
        work = request(connection)
    sealed = seal_evaluation(session.store, session.settings.home, work, path)
    session.note(f"sealed: {sealed.seal.n:,} decisions in {path}, seal {sealed.seal.seal}")
    return sealed


def _require_sealed(sealed: SealedEvaluation, job: JobRow) -> None:
    """Raise BenchcoeError if the job decided otherwise than sealed, as another version of a library may."""
    if job.request.get("evaluation") != sealed.evaluation_id:
        raise BenchcoeError(
            "the decisions of the job are not those that were sealed, because its worker has other library versions or "
            "hardware: seal and evaluate on one machine"
        )


def _draw(report: Mapping[str, Any], plot: Path) -> None:
    from benchcoe_jobs.services.evaluation.cost_curve import CostReport
    from benchcoe_jobs.services.evaluation.cost_plot import plot_costs

    if not report.get("costs"):
        raise UsageError(
            f"{plot} was not drawn: accuracy against cost needs a score and a cost of every expert on the same queries "
            "(set prices with add-expert)"
        )
    stamp = "in-sample, " if report["in_sample"] else ""
    title = f"{report['router']} on {report['benchmark']}, {stamp}split {report['split']}, n = {report['n']}"
    plot_costs(CostReport.from_json(report["costs"]), title, plot)


def _print(session: Session, report: Mapping[str, Any]) -> None:
    from benchcoe_jobs.services.evaluation.report import Report

    if "inference" in report:
        _print_chosen_only(session, report)
    else:
        print_report(session, Report.from_json(report))


def _print_chosen_only(session: Session, report: Mapping[str, Any]) -> None:
    """Print the accuracy of the chosen experts, and the cost compared with asking every expert."""
    table(
        [
            [row["expert"], percent(row["calls"]), cell(row["n"]), percent(row["accuracy"]) if row["n"] else "-"]
            for row in report["experts"]
        ],
        ["expert", "calls", "scored", "accuracy"],
    )
    stamp = "IN-SAMPLE, " if report["in_sample"] else ""
    low, high = (percent(report["interval"][end]) for end in ("low", "high"))
    echo(
        f"{stamp}{report['distribution']}: {report['benchmark']}, split {report['split']}, n = {report['n']}: "
        f"{percent(report['accuracy'])} routed, 95 % interval [{low}, {high}]"
    )
    inference = report["inference"]
    queries, loads = counted(inference["queries"], "query", "queries"), counted(inference["loads"], "model load")
    echo(f"asked for this evaluation: {queries}, {loads}, {inference['seconds']:.1f} s")
    if report["cost"]:
        echo(
            f"cost per query: {report['cost']['router']:.4g} routed, "
            f"about {report['cost']['every_expert']:.4g} if every expert were asked"
        )
    if imported := report.get("imported"):
        listed = ", ".join(f"{name} ({n})" for name, n in imported.items())
        session.note(f"note: imported scores in this split: {listed}")
    if n := report["without_scores"]:
        have = "has" if n == 1 else "have"
        missing = {row["expert"]: round(row["calls"] * (report["n"] + n)) - row["n"] for row in report["experts"]}
        of_expert = ", ".join(f"{name} {count}" for name, count in missing.items() if count)
        session.note(
            f"note: {counted(n, 'query', 'queries')} {have} no score from the chosen expert ({of_expert}): "
            "`benchcoe-jobs status` shows the errors"
        )


def print_report(session: Session, report: Report) -> None:
    """Print the report as a table, best first, and the gain under it."""
    rows = [(f"router {report.router}", report.accuracy, "")]
    rows += [
        (_marked(name, report), accuracy, percent(report.calls.get(name, 0.0)))
        for name, accuracy in report.experts.items()
    ]
    rows += [
        ("(random expert)", report.random, ""),
        ("(subject oracle)", report.subject_oracle, ""),
        ("(oracle)", report.oracle, ""),
    ]
    rows.sort(key=lambda row: -row[1])
    table([[name, percent(accuracy), calls] for name, accuracy, calls in rows], ["expert", "accuracy", "calls"])
    stamp = "IN-SAMPLE, " if report.in_sample else ""
    echo(
        f"{stamp}{report.distribution}: {report.benchmark}, split {report.split}, n = {report.n}. "
        f"Gain over the best single expert ({report.best_single['expert']}): {100 * report.gain['value']:+.1f} points, "
        f"95 % interval [{100 * report.gain['low']:+.1f}, {100 * report.gain['high']:+.1f}]"
    )
    if report.fell_back:
        to_best = report.calls.get(report.best_single["expert"], 0.0) >= report.fell_back
        # With costs, the fallback weighs every expert's mean over all subjects against its cost.
        how = "went to the best single expert" if to_best else "were routed by the experts' means over all subjects"
        echo(f"{percent(report.fell_back)} of the queries were too unlike the training questions and {how}")
    if report.cost:
        echo(
            f"cost per query: {report.cost['router']:.4g} routed, {report.cost['best_single']:.4g} best single expert, "
            f"{report.cost['every_expert']:.4g} every expert"
        )
    if report.cascade:
        _print_cascade(report.cascade)
    if report.costs:
        _print_costs(report.costs)
    for warning in report.warnings:
        session.note(f"note: {warning}")


def _print_cascade(cascade: Mapping[str, Any]) -> None:
    """Print how far the cascade went, and what its text router gives for the same cost."""
    stopped = ", ".join(f"{percent(cascade['stopped_after'][name])} after {name}" for name in cascade["chain"])
    echo(f"cascade: {cascade['mean_answers']:.2f} answers to a query; stopped {stopped}")
    if text := cascade["text_router"]:
        gain = text["gain"]
        echo(
            f"{100 * gain['value']:+.1f} points over the best mix of its text router and single experts at the same "
            f"cost, 95 % interval [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        )


def _marked(name: str, report: Report) -> str:
    """The name of an expert; the best single expert is marked if another one is ahead of it here."""
    is_behind = report.best_single["accuracy"] < max(report.experts.values())
    return f"{name} (best on the training split)" if is_behind and name == report.best_single["expert"] else name


def _print_costs(costs: CostReport) -> None:
    """Print accuracy against cost: the headline, the router, its baselines, and the router along its frontier."""
    found = costs.frontiers
    if found:
        echo(f"router {costs.router.name} {found.headline}")
    named = [
        ("router", costs.router),
        ("cheapest expert", costs.cheapest),
        ("best single expert", costs.best_single),
        (f"random mix of experts: {costs.mix.name}", costs.mix),
    ]
    curve = costs.curve if found is None else [point for point in costs.curve if point in found.router]
    named += [(f"router, quality weight {point.name}", point) for point in curve]
    table([[name, f"{p.cost:.4g}", percent(p.accuracy)] for name, p in named], ["", "cost per query", "accuracy"])
    echo(
        f"{100 * costs.gain_over_mix:+.1f} points over the random mix of equal cost; the router took "
        f"{1000 * costs.router_seconds:.2f} ms per query"
    )
    if found:
        gain = found.area_gain
        echo(
            f"mean accuracy along the frontier: {percent(found.area)} with the router, {percent(found.experts_area)} "
            f"with random mixes of experts: {100 * gain['value']:+.1f} points, "
            f"95 % interval [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        )
