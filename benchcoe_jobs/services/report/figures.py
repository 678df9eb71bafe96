"""All figures of a report, as one value without any layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from benchcoe_jobs.domain import Split
from benchcoe_jobs.services.audit.checks import audit
from benchcoe_jobs.services.labelling.scope import find_scope
from benchcoe_jobs.services.report.changes import Changes, changes_against, changes_since
from benchcoe_jobs.services.report.pool import PoolFigures, pool_figures
from benchcoe_jobs.services.report.provenance import Provenance, Work, provenance, work
from benchcoe_jobs.services.report.routers import (
    Calibration,
    Stage,
    best_stage,
    calibrations,
    chosen_routers,
    stage_verdict,
    stages,
)
from benchcoe_jobs.services.report.subjects import LabelFigures, label_figures
from benchcoe_jobs.services.report.verdict import Verdict
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a report on a pool and a benchmark, in the order of the page.

    `findings` are those of `audit`, without the keys of their queries. `changes` is None if the labels are not compared
    with others.
    """

    pool: str
    benchmark: str
    made_at: str
    verdict: Verdict
    stages: list[Stage]
    experts: PoolFigures
    labels: LabelFigures
    calibrations: list[Calibration]
    findings: list[dict[str, Any]]
    changes: Changes | None
    jobs: list[Work]
    provenance: Provenance

    def as_json(self) -> dict[str, Any]:
        """The figures as one JSON object."""
        return asdict(self)


def read_figures(
    store: Store,
    *,
    pool: str,
    benchmark: str | None,
    routers: Sequence[str] = (),
    since: datetime | None = None,
    against: Store | None = None,
) -> Figures:
    """The figures of a pool on a benchmark, with the routers of these names or all that were trained on the two.

    Labels are those of split train; experts are compared on split test. With `since` or `against` the labels are
    compared with earlier ones, or with those of another store. Only stored results are read: no expert is asked, and
    no router decides. Raises UsageError for unknown names.
    """
    with store.reading() as connection:
        scope = find_scope(connection, pool, benchmark, Split.TRAIN)
        chosen = chosen_routers(connection, scope, routers)
        job_rows = jobs.list_jobs(connection)
        found = stages(connection, chosen)
        best = best_stage(found, scope.benchmark)
        of_pool = pool_figures(connection, scope, Split.TEST)
        costs = {expert.expert: expert.cost for expert in of_pool.experts}
        changes = None
        if since is not None:
            changes = changes_since(connection, scope, since, job_rows)
        elif against is not None:
            changes = changes_against(connection, scope, against)
        read: dict[str, Any] = {
            "labels": label_figures(connection, scope),
            "calibrations": calibrations(chosen, job_rows),
            "jobs": work(connection, job_rows, costs),
            "provenance": provenance(
                connection, scope, chosen, [(s.router, s.benchmark, s.split) for s in found], job_rows
            ),
        }
    findings = [finding.as_json() for finding in audit(store, scope.benchmark)]
    return Figures(
        pool=scope.pool.name,
        benchmark=scope.benchmark,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=stage_verdict(best, found, scope, len(chosen)),
        stages=found,
        experts=of_pool,
        findings=[{key: value for key, value in finding.items() if key != "keys"} for finding in findings],
        changes=changes,
        **read,
    )
