"""What another policy would have scored on the traffic of a router: estimates from explored, scored decisions.

A policy names one expert for each question: a router, or the same expert always. Only the expert that was asked has a
score, and the probability with which it was drawn is known, so the scores of the decisions in which the policy agrees
with what was drawn are weighted with the inverse of that probability.

Sources: Horvitz and Thompson 1952 (inverse propensity), Swaminathan and Joachims, "The self-normalized estimator for
counterfactual learning" (2015), Dudík, Langford and Li, "Doubly robust policy evaluation and learning" (2011).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.intervals import clustered_interval, mean_interval
from benchcoe_jobs.services.routing.decider import current_decider
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, take_snapshot
from benchcoe_jobs.store.routing import served
from benchcoe_jobs.store.routing.served import ScoredDecision
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

FEWEST = 100
"""The smallest effective sample size of which an estimate is given."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean score with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PolicyEstimate:
    """The estimates of one policy on `n` decisions; None if the effective sample size is below `FEWEST`.

    `agreeing` is the number of decisions whose expert is the policy's. `effective` is the number of equally weighted
    decisions that would be as informative: (sum of weights)^2 / sum of squared weights.
    """

    policy: str
    n: int
    agreeing: int
    effective: float
    ips: Estimate | None = None
    self_normalised: Estimate | None = None
    doubly_robust: Estimate | None = None


@dataclass(frozen=True, slots=True)
class TrafficReport:
    """Estimates on the traffic of a router: of `decisions`, `scored` have a score and `explored` of these could have
    gone to each expert, and are used."""

    router: str
    decisions: int
    scored: int
    explored: int
    policies: list[PolicyEstimate]

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return asdict(self)


def estimate_policies(store: Store, home: Path, router: str | None, others: Sequence[str] = ()) -> TrafficReport:
    """Estimate the mean score of a router without its exploration, of each expert alone, and of other routers.

    `router` is the one whose traffic it is; None means the only one. Other routers decide about the stored texts of
    the requests, and are estimated on those that have one. Raises UsageError if fewer than `FEWEST` decisions can be
    used, and if no text was stored for another router.
    """
    with store.reading() as connection:
        snapshot = take_snapshot(connection, router)
        scored = served.scored_decisions(connection, snapshot.router.id)
        n_decisions = served.n_decisions(connection, snapshot.router.id)
    explored = [one for one in scored if one.propensity is not None and one.propensity < 1]
    if len(explored) < FEWEST:
        raise UsageError(
            f"router {snapshot.router.name!r} has {counted(len(explored), 'explored decision')} with a score, and at "
            f"least {FEWEST} are needed: run `benchcoe-jobs serve` with --explore, and report scores to "
            "/v1/router/outcomes"
        )
    offline = OfflineScores(snapshot)
    policies = [
        estimate_policy(f"router {snapshot.router.name}", explored, [one.chosen for one in explored], offline),
        *(estimate_policy(f"always {name}", explored, [name] * len(explored), offline) for name in snapshot.eligible),
        *(_of_other_router(store, home, name, explored, offline) for name in others),
    ]
    return TrafficReport(snapshot.router.name, n_decisions, len(scored), len(explored), policies)


class OfflineScores:
    """The outcome model: an expert's mean on the predicted subject, on all subjects if it has none there."""

    def __init__(self, snapshot: RoutingSnapshot) -> None:
        self._means = snapshot.means
        of_all = {name: [m[name] for m in snapshot.means.values() if name in m] for name in snapshot.eligible}
        self._overall = {name: sum(means) / len(means) for name, means in of_all.items()} | snapshot.overall

    def of(self, subject: str | None, expert: str) -> float:
        """The expected score of an expert; 0 for one that is not eligible any more."""
        found = self._means.get(subject or "", {}).get(expert, self._overall.get(expert, 0.0))
        return min(found, 1.0)


def estimate_policy(
    policy: str, decisions: Sequence[ScoredDecision], choices: Sequence[str], offline: OfflineScores
) -> PolicyEstimate:
    """The estimates of a policy that chooses `choices` for some explored decisions, in their order."""
    agrees = np.array([choice == one.expert for choice, one in zip(choices, decisions, strict=True)])
    propensity = np.array([one.propensity for one in decisions], dtype=np.float64)
    score = np.array([one.score for one in decisions])
    weight: Floats = np.where(agrees, 1.0 / propensity, 0.0)
    total = float(weight.sum())
    effective = total**2 / float((weight**2).sum()) if total else 0.0
    found = PolicyEstimate(policy, len(decisions), int(agrees.sum()), effective)
    if effective < FEWEST:
        return found
    expected = np.array([offline.of(one.subject, choice) for one, choice in zip(decisions, choices, strict=True)])
    drawn_expected = np.array([offline.of(one.subject, one.expert) for one in decisions])
    robust = expected + weight * (score - drawn_expected)
    ratio = clustered_interval(weight * score, weight)
    return PolicyEstimate(
        policy,
        found.n,
        found.agreeing,
        effective,
        ips=_estimate(weight * score),
        self_normalised=Estimate(float((weight * score).sum()) / total, *ratio),
        doubly_robust=_estimate(robust),
    )


def _of_other_router(
    store: Store, home: Path, name: str, explored: Sequence[ScoredDecision], offline: OfflineScores
) -> PolicyEstimate:
    with_text = [one for one in explored if one.prompt is not None]
    if not with_text:
        raise UsageError(
            f"router {name!r} cannot decide about the requests, because no text of them is stored: run "
            "`benchcoe-jobs serve` with --log-prompts"
        )
    return estimate_policy(f"router {name}", with_text, list(_choices(store, home, name, with_text)), offline)


def _choices(store: Store, home: Path, router: str, decisions: Sequence[ScoredDecision]) -> Iterator[str]:
    chooser = current_decider(store, home, router)
    return (choice.expert for choice in chooser.choose([RouterInput(one.prompt or "") for one in decisions]))


def _estimate(values: Floats) -> Estimate:
    return Estimate(float(values.mean()), *mean_interval(values))
