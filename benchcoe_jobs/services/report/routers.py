"""The routers of a report: their stored evaluations, and the verdict on the best of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import Distribution, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.cost_curve import Frontiers
from benchcoe_jobs.services.report.verdict import Answer, Measured, Verdict, verdict
from benchcoe_jobs.services.routing.snapshot import take_snapshot
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.routing.routers import TrainedRouter
from benchcoe_jobs.store.routing.stored_reports import StoredReport, newest_reports


@dataclass(frozen=True, slots=True)
class Stage:
    """A stored evaluation of a router. Accuracies, gains and shares are fractions.

    `distribution` is the stage of the paper: naive, in distribution or out of distribution. `accuracy` and `n` are
    known in any case; the others are None if only the chosen experts were asked. `gain` has `value`, `low` and `high`
    over the best single expert. `cost` and `best_single_cost` are means per query, None if unknown; `curve` has (cost,
    accuracy) at several quality weights, `frontiers` what they save, None if unknown. `is_current` is whether the
    router would still decide from the same labels, experts and costs.
    """

    router: str
    level: str
    kind: str
    benchmark: str
    split: str
    distribution: str
    n: int
    accuracy: float
    best_single: str | None
    best_single_accuracy: float | None
    gain: dict[str, float] | None
    oracle: float | None
    fell_back: float
    calls: dict[str, float]
    cost: float | None
    best_single_cost: float | None
    curve: list[tuple[float, float]]
    frontiers: Frontiers | None
    warnings: list[str]
    is_current: bool

    @property
    def is_in_sample(self) -> bool:
        """Whether the router was trained on these queries."""
        return self.distribution == Distribution.NAIVE


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the fallback of a router did on held-out subjects in its training; see `routers.fallback.Calibration`."""

    router: str
    share: float
    gain: float
    low: float
    gain_without: float
    n: int


def chosen_routers(connection: Connection, scope: Scope, names: Sequence[str]) -> list[TrainedRouter]:
    """The routers with these names, or all that were trained on the pool and benchmark of a scope.

    Raises UsageError for an unknown router, and for one of another pool.
    """
    if not names:
        return [
            router
            for router in routers.routers(connection)
            if (router.scope.pool.id, router.scope.benchmark_id) == (scope.pool.id, scope.benchmark_id)
        ]
    found = [routers.find_router(connection, name) for name in dict.fromkeys(names)]
    for router in found:
        if router.scope.pool.id != scope.pool.id:
            raise UsageError(
                f"router {router.name!r} chooses from pool {router.scope.pool.name!r}, and the report is about pool "
                f"{scope.pool.name!r}: add --pool {shlex.quote(router.scope.pool.name)}"
            )
    return found


def stages(connection: Connection, chosen: Sequence[TrainedRouter]) -> list[Stage]:
    """The newest evaluation of each router on each split, those in distribution first."""
    by_name = {router.name: router for router in chosen}
    current = {name: _current_snapshot(connection, name) for name in by_name}
    found = [
        _stage(by_name[stored.router], stored, stored.snapshot == current[stored.router])
        for stored in newest_reports(connection, [router.id for router in chosen])
    ]
    order = [Distribution.IN_DISTRIBUTION, Distribution.OUT_OF_DISTRIBUTION, Distribution.NAIVE]
    return sorted(found, key=lambda stage: (order.index(Distribution(stage.distribution)), stage.split != Split.TEST))


def _current_snapshot(connection: Connection, router: str) -> str | None:
    try:
        return take_snapshot(connection, router).fingerprint
    except UsageError:  # no expert is eligible any more
        return None


def _stage(router: TrainedRouter, stored: StoredReport, is_current: bool) -> Stage:
    report = stored.report
    best: Mapping[str, Any] = report.get("best_single") or {}
    costs, means = report.get("costs"), report.get("cost") or {}
    return Stage(
        router=router.name,
        level=router.level,
        kind=router.kind,
        benchmark=stored.benchmark,
        split=stored.split,
        distribution=report["distribution"],
        n=report["n"],
        accuracy=report["accuracy"],
        best_single=best.get("expert"),
        best_single_accuracy=best.get("accuracy"),
        gain=report.get("gain"),
        oracle=report.get("oracle"),
        fell_back=report["fell_back"],
        calls=report["calls"],
        cost=costs["router"]["cost"] if costs else means.get("router"),  # the former includes the router's own work
        best_single_cost=means.get("best_single"),
        curve=[(point["cost"], point["accuracy"]) for point in costs["curve"]] if costs else [],
        frontiers=Frontiers.from_json(costs["frontiers"]) if costs and costs.get("frontiers") else None,
        warnings=report.get("warnings", []),
        is_current=is_current,
    )


def calibrations(chosen: Sequence[TrainedRouter], jobs: Sequence[JobRow]) -> list[Calibration]:
    """The calibration of each router that has a fallback, from the report of the newest job that trained it."""
    newest: dict[str, Mapping[str, Any]] = {}
    for job in jobs:  # newest first
        if job.kind == "train-router" and job.report is not None:
            newest.setdefault(job.report.get("router", ""), job.report)
    found = []
    for router in chosen:
        measured = newest.get(router.name, {}).get("fallback")
        if measured:
            kept = {key: measured[key] for key in ("share", "gain", "low", "gain_without", "n")}
            found.append(Calibration(router.name, **kept))
    return found


def best_stage(found: Sequence[Stage], benchmark: str) -> Stage | None:
    """The evaluation that the verdict is about: on split test if there is one, of the router that gains most.

    None if no router was compared with the best single expert on questions of the benchmark that it was not trained on.
    """
    usable = [
        stage for stage in found if stage.benchmark == benchmark and stage.gain is not None and not stage.is_in_sample
    ]
    on_test = [stage for stage in usable if stage.split == Split.TEST]
    return max(on_test or usable, key=lambda stage: (stage.gain or {})["value"], default=None)


def stage_verdict(best: Stage | None, found: Sequence[Stage], scope: Scope, n_routers: int) -> Verdict:
    """The verdict on an evaluation; without one, what to do to get it."""
    if best is None or best.gain is None or best.best_single is None or best.best_single_accuracy is None:
        step = (
            f"train a router with `benchcoe-jobs train-router` on pool {scope.pool.name} and {scope.benchmark}"
            if not n_routers
            else f"run `benchcoe-jobs evaluate` on {scope.benchmark}"
        )
        return Verdict(
            Answer.UNKNOWN,
            f"Whether a router pays here is unknown: none was compared with the best single expert on held-out "
            f"questions of {scope.benchmark}; {step}.",
        )
    ratio = best.cost / best.best_single_cost if best.cost is not None and best.best_single_cost else None
    given = verdict(
        Measured(
            router=f"router {best.router}",
            best_single=best.best_single,
            best_single_accuracy=best.best_single_accuracy,
            low=best.gain["low"],
            high=best.gain["high"],
            gain=best.gain["value"],
            n=best.n,
            where=f"held-out questions of {best.benchmark}, split {best.split}",
            cost_ratio=ratio,
            oracle=best.oracle or 0.0,
            saving=best.frontiers.headline if best.frontiers else None,
        )
    )
    rivals = [s for s in found if (s.benchmark, s.split) == (best.benchmark, best.split) and s.gain is not None]
    caveats = []
    if len(rivals) > 1:
        caveats.append(
            f"It is the best of {len(rivals)} routers on these questions, so that its gain is slightly too high."
        )
    if not best.is_current:
        caveats.append(
            f"Labels, experts or costs have changed since: `benchcoe-jobs evaluate {shlex.quote(best.router)}` "
            "measures the router again."
        )
    return replace(given, caveat=" ".join(caveats))
