"""Where the figures of a report come from: imports, experts, jobs, and the commands that repeat them."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import __version__
from benchcoe_jobs.domain import ALL_POOL, Split
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow, ShardGroupRow
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import experts, imports, means
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.routing.routers import TrainedRouter

NEWEST_JOBS = 30


@dataclass(frozen=True, slots=True)
class Work:
    """A job: what it was about, and what its shards did. `seconds` is the time of all workers together.

    `cost` is the number of answers times the mean cost of a query of each expert; None if a cost is unknown, or if no
    expert was asked.
    """

    job: int
    kind: str
    about: str
    state: str
    created_at: str
    answered: int
    errors: int
    loads: int
    seconds: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class Origin:
    """An import of the benchmark: its name, file and SHA-256, and when it was stored."""

    name: str
    file: str
    sha256: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """The version of the program, what the figures were computed from, and the commands that repeat them.

    `fingerprint` is the SHA-256 of the pool, and of the mean and count of every expert's scores by subject and split:
    two stores with the same one have the same figures about experts and labels. `splits` has the number of queries of
    each split. `models` has engine, model and revision of the experts that have an engine.
    """

    version: str
    fingerprint: str
    min_coverage: float
    splits: dict[str, int]
    models: list[dict[str, Any]]
    imports: list[Origin]
    commands: list[str]


def work(connection: Connection, job_rows: Sequence[JobRow], costs: Mapping[str, float | None]) -> list[Work]:
    """The newest of some jobs; `costs` has the mean cost of a query by expert."""
    newest = job_rows[:NEWEST_JOBS]
    groups: dict[int, list[ShardGroupRow]] = {}
    for group in jobs.shard_groups(connection, [job.id for job in newest]):
        groups.setdefault(group.job_id, []).append(group)
    return [_work(job, groups.get(job.id, []), costs) for job in newest]


def _work(job: JobRow, groups: Sequence[ShardGroupRow], costs: Mapping[str, float | None]) -> Work:
    priced = [(group.answered, costs.get(group.expert)) for group in groups if group.expert and group.answered]
    known = [n * cost for n, cost in priced if cost is not None]
    names = {group.expert for group in groups if group.expert}
    about = job.request.get("router") or job.request.get("expert") or job.file or ""
    return Work(
        job=job.id,
        kind=job.kind,
        about=str(about) or ", ".join(sorted(names)),
        state=job.state.value,
        created_at=job.created_at.isoformat(timespec="seconds"),
        answered=sum(group.answered for group in groups if group.expert),
        errors=sum(group.errors for group in groups),
        loads=sum(group.loads for group in groups),
        seconds=round(sum(group.seconds for group in groups), 1),
        cost=sum(known) if priced and len(known) == len(priced) else None,
    )


def provenance(
    connection: Connection,
    scope: Scope,
    chosen: Sequence[TrainedRouter],
    evaluated: Collection[tuple[str, str, str]],
    job_rows: Sequence[JobRow],
) -> Provenance:
    """The provenance of a report on a scope and some routers.

    `evaluated` has the router, benchmark and split of each stored evaluation. `job_rows` are all jobs, newest first.
    """
    members = experts.pool_members(connection, scope.pool.id)
    rows = [experts.read_expert_by_id(connection, id_) for id_ in members.values()]
    found = [row for row in imports.imports(connection) if scope.benchmark in row.benchmarks]
    return Provenance(
        version=__version__,
        fingerprint=_fingerprint(connection, scope, members),
        min_coverage=scope.pool.min_coverage,
        splits={
            split.value: sum(means.subject_sizes(connection, scope.benchmark_id, split).values()) for split in Split
        },
        models=[_model(row) for row in rows if row.can_answer],
        imports=[Origin(row.name, row.file, row.sha256, row.created_at.isoformat(timespec="seconds")) for row in found],
        commands=list(_commands(scope, members, chosen, evaluated, job_rows)),
    )


def _model(row: ExpertRow) -> dict[str, Any]:
    return {"expert": row.name, "engine": row.engine, "model": _shown(row.model or ""), "revision": row.revision}


def _fingerprint(connection: Connection, scope: Scope, members: Collection[str]) -> str:
    content: list[Any] = [scope.benchmark, scope.pool.min_coverage, sorted(members)]
    for split in Split:
        content.append(sorted(means.subject_sizes(connection, scope.benchmark_id, split).items()))
        content.append(means.subject_means(connection, scope.pool.id, scope.benchmark_id, split))
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _commands(
    scope: Scope,
    members: Collection[str],
    chosen: Sequence[TrainedRouter],
    evaluated: Collection[tuple[str, str, str]],
    job_rows: Sequence[JobRow],
) -> Iterable[str]:
    """The commands that train and evaluate the routers and write the report, from the stored imports and answers."""
    if scope.pool.name != ALL_POOL:
        yield _command("add-pool", scope.pool.name, *sorted(members))
    yield _command(
        "build-labels", "--level", "subject", *_scope_options(scope), "--min-coverage", f"{scope.pool.min_coverage:g}"
    )
    names = {router.name for router in chosen}
    trained: dict[str, str] = {}
    evaluations: dict[tuple[str, str, str], str] = {}
    for job in job_rows:
        request = job.request
        if job.kind == "train-router" and request["router"] in names and not request.get("extend"):
            trained.setdefault(request["router"], _training_command(request))
        if job.kind == "evaluate":
            place = request["router"], request["benchmark"], request["split"]
            evaluations.setdefault(place, _evaluation_command(request))
    yield from sorted(trained.values())
    for router, benchmark, split in evaluated:  # an evaluation without a job was made with the usual options
        plain = {"router": router, "benchmark": benchmark, "split": split}
        yield evaluations.get((router, benchmark, split)) or _evaluation_command(plain)
    yield _command("report", "--pool", scope.pool.name, "--benchmark", scope.benchmark, "--out", "report.html")


def _scope_options(scope: Scope) -> list[str]:
    return ["--pool", scope.pool.name, "--benchmark", scope.benchmark, "--split", scope.split]


_TRAINING_OPTIONS = (
    "level",
    "kind",
    "head",
    "pool",
    "benchmark",
    "split",
    "policy",
    "encoder",
    "revision",
    "image_encoder",
    "max_fallback",
)


def _training_command(request: Mapping[str, Any]) -> str:
    words = ["train-router", request["router"]]
    for option in _TRAINING_OPTIONS:
        if request.get(option) is not None:
            words += [f"--{option.replace('_', '-')}", _shown(str(request[option]))]
    return _command(*words)


def _evaluation_command(request: Mapping[str, Any]) -> str:
    words = ["evaluate", request["router"], "--benchmark", request["benchmark"], "--split", request["split"]]
    if not request.get("falls_back", True):
        words.append("--no-fallback")
    for option, name, usual in (
        ("--max-cost", "max_cost", None),
        ("--quality-weight", "quality_weight", 1.0),
        ("--router-price", "second_price", 0.0),
    ):
        if request.get(name, usual) != usual:
            words += [option, request[name] if isinstance(request[name], str) else f"{request[name]:g}"]
    return _command(*words)


def _shown(model: str) -> str:
    """A model without the folders above its own: a report is sent to others, and their names may say too much."""
    return Path(model).name if model.startswith("/") else model


def _command(*words: str) -> str:
    return f"benchcoe-jobs {shlex.join(words)}"
