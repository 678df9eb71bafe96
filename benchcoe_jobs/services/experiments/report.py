"""The outcomes of an experiment as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchcoe_jobs.services.experiments.plan import Protocol
from benchcoe_jobs.services.experiments.trials import Outcome
from benchcoe_jobs.services.gaps import Gap, gap_note
from benchcoe_jobs.services.intervals import clustered_interval


@dataclass(frozen=True, slots=True)
class TrialSummary:
    """A router on a pool under a protocol, over all of its folds and seeds. Accuracies are fractions.

    `gain` is the mean gain of all measurements over the best single expert, which is chosen on the training split of
    each trial. `low` and `high` are its 95 % bootstrap interval over queries; a query that several seeds tested is
    drawn with all of its measurements. `seeds_low` and `seeds_high` are the smallest and the largest gain of one seed.
    `n` counts measurements, `n_queries` distinct queries.
    """

    protocol: str
    pool: str
    router: str
    trials: int
    n: int
    n_queries: int
    best_single: float
    accuracy: float
    subject_oracle: float
    oracle: float
    gain: float
    low: float
    high: float
    seeds_low: float
    seeds_high: float
    in_sample: bool

    def as_json(self) -> dict[str, Any]:
        """The row as one JSON object."""
        return asdict(self)


def summarise(outcomes: Sequence[Outcome]) -> list[TrialSummary]:
    """One row per protocol, pool and router; protocols in the order of `Protocol`, the rest as they come."""
    groups: dict[tuple[Protocol, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        trial = outcome.trial
        groups.setdefault((trial.protocol, trial.pool, trial.router.name), []).append(outcome)
    order = list(Protocol)
    return [_row(*key, group) for key, group in sorted(groups.items(), key=lambda pair: order.index(pair[0][0]))]


def _row(protocol: Protocol, pool: str, router: str, group: Sequence[Outcome]) -> TrialSummary:
    by_query: dict[str, list[float]] = defaultdict(list)
    by_seed: dict[int, list[float]] = defaultdict(list)
    for outcome in group:
        by_seed[outcome.trial.seed] += outcome.gains.values()
        for key, gain in outcome.gains.items():
            by_query[key].append(gain)
    totals = np.array([sum(gains) for gains in by_query.values()])
    counts = np.array([float(len(gains)) for gains in by_query.values()])
    low, high = clustered_interval(totals, counts)
    seed_gains = [float(np.mean(gains)) for gains in by_seed.values()]
    sizes = np.array([outcome.report["n"] for outcome in group], dtype=np.float64)

    def mean(values: Sequence[float]) -> float:
        return float(sizes @ np.array(values) / sizes.sum())

    return TrialSummary(
        protocol=protocol.value,
        pool=pool,
        router=router,
        trials=len(group),
        n=int(counts.sum()),
        n_queries=len(by_query),
        best_single=mean([outcome.report["best_single"]["accuracy"] for outcome in group]),
        accuracy=mean([outcome.report["accuracy"] for outcome in group]),
        subject_oracle=mean([outcome.report["subject_oracle"] for outcome in group]),
        oracle=mean([outcome.report["oracle"] for outcome in group]),
        gain=float(totals.sum() / counts.sum()),
        low=low,
        high=high,
        seeds_low=min(seed_gains),
        seeds_high=max(seed_gains),
        in_sample=protocol is Protocol.NAIVE,
    )


def gap_notes(outcomes: Sequence[Outcome]) -> list[str]:
    """A note for each pool with an expert without scores on some queries: the trials leave these queries out."""
    widest: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        report, pool = outcome.report, outcome.trial.pool
        if report.get("gaps") and report["without_scores"] > widest.get(pool, {"without_scores": 0})["without_scores"]:
            widest[pool] = report
    return [
        f"pool {pool}: in a trial, "
        + gap_note(
            [Gap.from_json(gap) for gap in report["gaps"]],
            report["without_scores"],
            report["n"] + report["without_scores"],
            f"leave {report['gaps'][0]['expert']} out of this pool in the file",
        )
        for pool, report in widest.items()
    ]


COLUMNS = [
    "protocol",
    "pool",
    "router",
    "n",
    "best single",
    "routed",
    "gain [95 %]",
    "seeds",
    "subject oracle",
    "oracle",
]


def cells_of(row: TrialSummary) -> list[str]:
    """A row of the table as text, in the order of COLUMNS; accuracies in percent, gains in points."""
    return [
        row.protocol + (" (IN-SAMPLE)" if row.in_sample else ""),
        row.pool,
        row.router,
        str(row.n),
        f"{100 * row.best_single:.1f}",
        f"{100 * row.accuracy:.1f}",
        f"{100 * row.gain:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]",
        f"{100 * row.seeds_low:+.1f} to {100 * row.seeds_high:+.1f}",
        f"{100 * row.subject_oracle:.1f}",
        f"{100 * row.oracle:.1f}",
    ]


def markdown(rows: Sequence[TrialSummary]) -> str:
    """The table in Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(cells_of(row) for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
