"""Remove an import, an expert, a benchmark, a router or a label set. Each removal is one transaction."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.job_kind import Needs
from benchcoe_jobs.services.removal.open_jobs import require_no_job
from benchcoe_jobs.services.training.registration import is_artifact_of
from benchcoe_jobs.store.removal import dependents
from benchcoe_jobs.store.removal import imports as removed_imports
from benchcoe_jobs.store.removal import results as removed_results
from benchcoe_jobs.store.removal import routers as removed_routers
from benchcoe_jobs.store.removal.tally import Removal
from benchcoe_jobs.store.results import catalog, experts, imports
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Removed:
    """A thing that was removed, or would be: its kind, its name and what went with it."""

    kind: str
    name: str
    removal: Removal

    def as_json(self) -> dict[str, Any]:
        """The removed thing as one JSON object."""
        return {"kind": self.kind, "name": self.name, **self.removal.as_json()}


def remove(store: Store, home: Path, kind: str, name: str, *, dry_run: bool = False) -> Removed:
    """Remove one thing by its kind and name. With `dry_run`, the transaction is rolled back.

    Raises UsageError, which names the command that goes first, if something that builds on it is not removed with it.
    """
    if kind == "router":
        return _remove_router(store, home, name, dry_run)
    with store.writing() as connection:
        shown, removal = _REMOVE[kind](connection, name)
        if dry_run:
            connection.rollback()
    return Removed(kind, shown, removal)


def _remove_import(connection: Connection, name: str) -> tuple[str, Removal]:
    row = imports.find_import(connection, name)
    brought = removed_imports.brought_experts(connection, row)
    experts.lock_experts(connection, brought)
    for benchmark in row.benchmarks:
        catalog.lock_benchmark(connection, benchmark)
    require_no_job(connection, Needs(frozenset(brought), frozenset(row.benchmarks)))
    if later := removed_imports.later_import(connection, row):
        id_, why = later
        raise UsageError(f"import-{id_} {why} since {row.name}: `benchcoe-jobs remove import import-{id_}` goes first")
    if repair := removed_imports.repair_of(connection, row):
        kind, benchmark, expert = repair
        of_expert = "" if expert is None else f" --expert {shlex.quote(expert)}"
        raise UsageError(
            f"a repair moved what {row.name} brought: "
            f"`benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --undo {kind}{of_expert}` goes first"
        )
    return row.name, removed_imports.remove_import(connection, row)


def _remove_expert(connection: Connection, name: str) -> tuple[str, Removal]:
    experts.lock_experts(connection, [name])
    expert_id = experts.find_expert(connection, name)
    require_no_job(connection, Needs(frozenset({name})))
    for router in dependents.routers_with(connection, expert_id):
        raise UsageError(f"router {router!r} chooses expert {name!r}: {_goes_first('router', router)}")
    for fingerprint in dependents.label_sets_with(connection, expert_id):
        raise UsageError(
            f"label set {fingerprint[:12]} names expert {name!r}: {_goes_first('label-set', fingerprint[:12])}"
        )
    for job_id in dependents.batches_with(connection, expert_id):
        raise UsageError(f"the file of job {job_id} has lines for expert {name!r}: {_goes_first('batch', str(job_id))}")
    return name, removed_results.remove_expert(connection, expert_id, name)


def _remove_benchmark(connection: Connection, name: str) -> tuple[str, Removal]:
    benchmark_id, name = catalog.find_benchmark(connection, name)
    catalog.lock_benchmark(connection, name)
    require_no_job(connection, Needs(benchmarks=frozenset({name})))
    for router in dependents.routers_on(connection, benchmark_id):
        raise UsageError(
            f"router {router!r} was trained or evaluated on benchmark {name!r}: {_goes_first('router', router)}"
        )
    return name, removed_results.remove_benchmark(connection, benchmark_id, name)


def _remove_label_set(connection: Connection, name: str) -> tuple[str, Removal]:
    found = removed_routers.find_label_set(connection, name)
    if len(found) != 1:
        many = f"{len(found)} label sets have fingerprints that begin with {name!r}"
        what = many if found else f"there is no label set {name!r}"
        raise UsageError(f"{what}: `benchcoe-jobs labels` lists all, and 6 digits are enough if they are unique")
    [(id_, fingerprint, benchmark_id)] = found
    benchmark = next(name for name, known in catalog.benchmark_ids(connection).items() if known == benchmark_id)
    require_no_job(connection, Needs(benchmarks=frozenset({benchmark})))
    for router in removed_routers.routers_trained_on(connection, id_):
        raise UsageError(
            f"router {router!r} was trained on label set {fingerprint[:12]}: {_goes_first('router', router)}"
        )
    removal = Removal()
    removed_routers.remove_label_sets(connection, [id_], removal)
    return fingerprint[:12], removal


def _remove_router(store: Store, home: Path, name: str, dry_run: bool) -> Removed:
    with store.writing() as connection:
        routers.lock_name(connection, name)
        router = routers.find_router(connection, name)
        require_no_job(connection, Needs(routers=frozenset({name})))
        removal, artifacts = removed_routers.remove_router(connection, router.id)
        if dry_run:
            connection.rollback()
    if not dry_run:
        for artifact in artifacts:
            if is_artifact_of(name, artifact):
                shutil.rmtree(home / artifact, ignore_errors=True)
        with suppress(OSError):  # the artifacts of another store, or files of the user
            (home / "routers" / name).rmdir()
    return Removed("router", name, removal)


def _goes_first(kind: str, name: str) -> str:
    return f"`benchcoe-jobs remove {kind} {shlex.quote(name)}` goes first"


_REMOVE: dict[str, Callable[[Connection, str], tuple[str, Removal]]] = {
    "import": _remove_import,
    "expert": _remove_expert,
    "benchmark": _remove_benchmark,
    "label-set": _remove_label_set,
}
