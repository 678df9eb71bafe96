"""All that a routing decision depends on, read once and kept as one value.

A job takes the snapshot in the transaction that opens it, and its request names the fingerprint. Every stage and
every shard decides by that snapshot, so labels that move and routers that are replaced do not change the job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.domain import Policy
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.labelling.scope import best_single
from benchcoe_jobs.services.routing.sight import blind_experts
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import Contender, Scope, SubjectLabel
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import PoolRef
from benchcoe_jobs.store.routing import evaluations, routers, snapshots
from benchcoe_jobs.store.routing.routers import TrainedRouter


@dataclass(frozen=True, slots=True)
class RoutingSnapshot:
    """A router's row, and what the labels of its scope said at one moment.

    `members` are the experts of its pool (name -> id). `eligible` are the experts that it may choose, by name: those
    with enough scores, or with a subject's label, on the training split. `labels` has the label of each subject.
    `means` has the eligible experts' mean scores by subject, `overall` those over the whole training split; a label
    and the best single expert are set just above their equals, so that the highest mean is the choice. The best single
    expert is also set above the others on a subject whose label no expert earns. `costs` is
    the expected cost of a query for each member, None if it is unknown. `blind` are the members that cannot see
    pictures, see `blind_experts`. `fingerprint` is the SHA-256 (hex) of the canonical JSON of the rest.
    """

    router: TrainedRouter
    members: dict[str, int]
    eligible: list[str]
    labels: dict[str, SubjectLabel]
    means: dict[str, dict[str, float]]
    overall: dict[str, float]
    best_single: str
    costs: dict[str, float | None]
    blind: list[str] = field(default_factory=list)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        content = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "fingerprint", hashlib.sha256(content.encode()).hexdigest())

    @property
    def expert_names(self) -> dict[int, str]:
        """Id -> name of the eligible experts, by name."""
        return {self.members[name]: name for name in self.eligible}

    def known_costs(self) -> list[float]:
        """The expected cost of a query of each eligible expert. Raises UsageError if one is unknown."""
        found = [self.costs.get(name) for name in self.eligible]
        if unknown := [name for name, cost in zip(self.eligible, found, strict=True) if cost is None]:
            raise UsageError(
                f"the cost of {', '.join(unknown)} is not known: it comes from the recorded answers, or from "
                "`benchcoe-jobs add-expert` with --cost, or with --price-in and --price-out"
            )
        return [cost for cost in found if cost is not None]

    def as_json(self) -> dict[str, Any]:
        """The snapshot as a JSON object, without its fingerprint."""
        content = {each.name: _plain(getattr(self, each.name)) for each in fields(self) if each.name != "fingerprint"}
        if not self.blind:  # snapshots of releases before 0.3.0 have no such key, and keep their fingerprints
            del content["blind"]
        if self.router.auto_weight is None:  # nor have their routers
            del content["router"]["auto_weight"]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The snapshot back from `as_json`; its fingerprint is the same again."""
        router = content["router"]
        scope = router["scope"]
        scope = Scope(**{**scope, "pool": PoolRef(**scope["pool"])})
        labels = {subject: SubjectLabel(**label) for subject, label in content["labels"].items()}
        trained = TrainedRouter(**{**router, "scope": scope, "policy": Policy(router["policy"])})
        return cls(**{**content, "router": trained, "labels": labels})


def take_snapshot(connection: Connection, router_name: str | None) -> RoutingSnapshot:
    """The snapshot of a router, by name, at this moment; None means the only router of the store.

    Raises UsageError if there is no such router, and if no expert has enough scores on the training split.
    """
    return snapshot_for(connection, routers.find_router(connection, router_name))


def keep_snapshot(connection: Connection, router_name: str | None) -> RoutingSnapshot:
    """Take the snapshot of a router and store it for a job that this transaction opens.

    The router is locked until the transaction ends: a training that replaces it sees the job, and keeps the artifact
    that the job needs. Raises UsageError as `take_snapshot` does.
    """
    snapshot = snapshot_for(connection, routers.find_router(connection, router_name, lock=True))
    snapshots.store_snapshot(connection, snapshot.router, snapshot.fingerprint, snapshot.as_json())
    return snapshot


def snapshot_of(connection: Connection, request: Mapping[str, Any], command: str) -> RoutingSnapshot:
    """The snapshot that a job's request names.

    Raises UsageError if it names none, which tells to give `command` again.
    """
    content = snapshots.read_snapshot(connection, request.get("snapshot", ""))
    if content is None:
        raise UsageError(
            "the job has no routing snapshot, because its router was removed or a release before 0.2.0 submitted it: "
            f"submit it again with `benchcoe-jobs {command}`"
        )
    return RoutingSnapshot.from_json(content)


def snapshot_for(connection: Connection, router: TrainedRouter) -> RoutingSnapshot:
    """The snapshot of a router at this moment. Raises UsageError if no expert has enough scores."""
    scope = router.scope
    members = experts.pool_members(connection, scope.pool.id)
    labels = {label.subject: label for label in live_labels.subject_labels(connection, scope, router.policy)}
    ranked = live_labels.contenders(connection, scope)
    best = best_single(connection, scope)
    means = {subject: {c.expert: c.mean for c in contenders} for subject, contenders in ranked.items()}
    for label in labels.values():  # a tie or a policy may decide against the highest mean; a reported score has none
        of_subject = means.setdefault(label.subject, {})
        of_subject[label.expert or best] = _just_above([label.mean, *of_subject.values()])
    return RoutingSnapshot(
        router=router,
        members=members,
        eligible=sorted({name for of_subject in means.values() for name in of_subject}),
        labels=labels,
        means=means,
        overall=_overall(ranked, best),
        best_single=best,
        costs=_costs(connection, scope, members),
        blind=blind_experts(connection, members),
    )


def _overall(ranked: Mapping[str, Sequence[Contender]], best_single: str) -> dict[str, float]:
    """Means over the split of the experts that are eligible on every subject; the best single expert's is highest."""
    total: dict[str, list[tuple[float, int]]] = {}
    for contenders in ranked.values():
        for c in contenders:
            total.setdefault(c.expert, []).append((c.mean * c.n, c.n))
    whole = {name: parts for name, parts in total.items() if len(parts) == len(ranked) or name == best_single}
    means = {name: sum(p[0] for p in parts) / sum(p[1] for p in parts) for name, parts in whole.items()}
    means[best_single] = _just_above([0.0, *means.values()])
    return means


def _just_above(values: Sequence[float]) -> float:
    return float(np.nextafter(max(values), 2.0))


def _costs(connection: Connection, scope: Scope, members: Mapping[str, int]) -> dict[str, float | None]:
    """The mean recorded cost on the training split, or the cost that `add-expert` was given."""
    recorded = evaluations.mean_costs(connection, scope.benchmark_id, scope.split, members.values())
    given = experts.costs(connection)
    return {
        name: given[name] if (cost := recorded.get(expert_id)) is None else cost for name, expert_id in members.items()
    }


def _plain(value: Any) -> Any:
    """Dataclasses, also inside a dict, as JSON can hold them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return asdict(value) if isinstance(value, TrainedRouter | SubjectLabel) else value
