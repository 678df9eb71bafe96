"""The paper's three stages over pools, routers and seeds, trial by trial; what is done is not done again.

A trial is one router, trained and evaluated once by the jobs behind `train-router` and `evaluate`, on a
scratch store with the deal of its protocol, fold and seed. Its outcome is one file, put in place whole,
named by all that shapes it: a run that was killed goes on where it was, and other data or settings
are other trials.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchcoe_jobs import __version__
from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import StoreError, UsageError
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.experiments.plan import Experiment, Protocol, RouterSpec
from benchcoe_jobs.services.experiments.resplit import (
    PoolSpec,
    Results,
    read_results,
    resplit_of,
    share_vectors,
    write_resplit,
)
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.routing import evaluations, routers
from benchcoe_jobs.store.session import Store

TESTED = "held out"
"""The name of the benchmark that holds what is tested out of distribution."""

Parts = dict[str, tuple[Results, dict[int, Split]]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One router to train and evaluate. `fold` is what is held out, empty where nothing is."""

    protocol: Protocol
    fold: str
    seed: int
    pool: str
    router: RouterSpec

    def __str__(self) -> str:
        held_out = f" {self.fold}" if self.fold else ""
        return f"{self.protocol}{held_out}, seed {self.seed}, pool {self.pool}, router {self.router.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial: the report as `evaluate --json` prints it, and per query, by key, the gain
    over the best single expert, of the queries that the report is over."""

    trial: Trial
    report: dict[str, Any]
    gains: dict[str, float]


@dataclass
class Progress:
    """What a run of an experiment found done, did, and could not do (trial and reason)."""

    outcomes: list[Outcome] = field(default_factory=list)
    done_before: int = 0
    failed: list[tuple[Trial, str]] = field(default_factory=list)


def run_experiment(
    store: Store,
    experiment: Experiment,
    folder: Path,
    *,
    planned: Callable[[int], None] = lambda trials: None,
    progress: Callable[[int], None] = lambda trials: None,
) -> Progress:
    """Do every trial of an experiment that `folder` does not hold yet; `planned` hears how many there are.

    A trial that cannot be done does not stop the others; it is tried again next time. Raises UsageError
    for names that the store does not know.
    """
    pools = _pools(store, experiment)
    everybody = sorted({name for pool in pools.values() for name in pool.members})
    with store.reading() as connection:
        main = read_results(connection, experiment.benchmark, everybody)
        other = read_results(connection, experiment.other_benchmark, everybody) if experiment.other_benchmark else None
    trials = _TrialStore(folder, f"{__version__} {main.fingerprint()} {other.fingerprint() if other else ''}", pools)
    resplits = [
        (part, [Trial(*part, pool, router) for pool in pools for router in experiment.routers])
        for protocol in experiment.protocols
        for seed in experiment.seeds
        for part in ((protocol, fold, seed) for fold in _folds(protocol, main))
    ]
    planned(sum(len(trials_of) for _, trials_of in resplits))
    found = Progress()
    for (protocol, fold, seed), trials_of in resplits:
        on_disk = {trial: trials.read(trial) for trial in trials_of}
        found.outcomes += (done := [outcome for outcome in on_disk.values() if outcome])
        found.done_before += len(done)
        progress(len(done))
        missing = [trial for trial, outcome in on_disk.items() if outcome is None]
        if missing:
            with tempfile.TemporaryDirectory(prefix=".resplit-", dir=folder) as scratch:
                _run_resplit(
                    store, Path(scratch), _parts(protocol, fold, seed, main, other), missing, trials, found, progress
                )
    return found


def _pools(store: Store, experiment: Experiment) -> dict[str, PoolSpec]:
    """The pools of the file by name; one of the store keeps its own min_coverage."""
    found = {name: PoolSpec(members) for name, members in experiment.pools.items() if members}
    with store.reading() as connection:
        for name in experiment.pools.keys() - found.keys():
            pool = experts.find_pool(connection, name)
            found[name] = PoolSpec(tuple(experts.pool_members(connection, pool.id)), pool.min_coverage)
    return {name: found[name] for name in experiment.pools}


def _folds(protocol: Protocol, found: Results) -> list[str]:
    if protocol is Protocol.HELD_OUT_SUBJECTS:
        return sorted({query.subject for query in found.queries})
    if protocol is Protocol.HELD_OUT_SOURCES:
        sources = sorted({query.source for query in found.queries if query.source})
        if len(sources) < 2:
            raise UsageError(f"the queries of {found.benchmark} have {len(sources)} sources: none can be held out")
        return sources
    return [""]


def _parts(protocol: Protocol, fold: str, seed: int, main: Results, other: Results | None) -> Parts:
    """What a deal's store holds, by benchmark name: what is learned from, and apart from it what is tested."""
    split_of = {row: resplit_of(query, seed) for row, query in enumerate(main.queries)}
    if protocol is Protocol.OTHER_BENCHMARK and other is not None:
        tested = {row: resplit_of(query, seed) for row, query in enumerate(other.queries)}
        return {main.benchmark: (main, split_of), TESTED: (other, tested)}
    if protocol in (Protocol.HELD_OUT_SUBJECTS, Protocol.HELD_OUT_SOURCES):
        by_subject = protocol is Protocol.HELD_OUT_SUBJECTS
        out = {row for row, q in enumerate(main.queries) if fold == (q.subject if by_subject else q.source)}
        kept = {row: split for row, split in split_of.items() if row not in out}
        tested = {row: split for row, split in split_of.items() if row in out and split is Split.TEST}
        return {main.benchmark: (main, kept), TESTED: (main, tested)}
    return {main.benchmark: (main, split_of)}


def _run_resplit(
    store: Store,
    scratch: Path,
    parts: Parts,
    missing: list[Trial],
    trials: _TrialStore,
    found: Progress,
    progress: Callable[[int], None],
) -> None:
    benchmark = next(iter(parts))
    pools = {f"p {trial.pool}": trials.pools[trial.pool] for trial in missing}  # "all" is no name for a pool of some
    resplit = write_resplit(scratch / "resplit.db", parts, pools)
    try:
        share_vectors(store, resplit)
        for trial in missing:
            try:
                found.outcomes.append(trials.keep(_run_trial(resplit, scratch, benchmark, trial)))
            except UsageError as error:
                found.failed.append((trial, str(error)))
            progress(1)
        share_vectors(resplit, store)
    finally:
        resplit.close()


def _run_trial(resplit: Store, home: Path, benchmark: str, trial: Trial) -> Outcome:
    spec = asdict(trial.router)
    name = hashlib.sha256(json.dumps([trial.pool, spec]).encode()).hexdigest()[:16]
    split = Split.TEST if trial.protocol is Protocol.NAIVE else Split.TRAIN
    settings = {key: value for key, value in spec.items() if key != "name"}
    train_router(resplit, home, name, pool=f"p {trial.pool}", benchmark=benchmark, split=split, **settings)
    outside = trial.protocol not in (Protocol.NAIVE, Protocol.IN_DISTRIBUTION)
    tested = TESTED if outside else benchmark
    report = evaluate(resplit, home, name, benchmark=tested, split=Split.TEST)
    shown = report.as_json() | {"router": trial.router.name, "pool": trial.pool}
    return Outcome(trial, shown, _gains(resplit, name, tested, report.best_single["expert"], list(report.experts)))


def _gains(resplit: Store, router: str, benchmark: str, best_single: str, names: list[str]) -> dict[str, float]:
    with resplit.reading() as connection:
        ids = experts.expert_ids(connection)
        benchmark_id, _ = catalog.find_benchmark(connection, benchmark)
        decided = evaluations.decided(connection, routers.find_router(connection, router).id)
        matrix = read_matrix(connection, benchmark_id, {name: ids[name] for name in names}, Split.TEST).complete()
    row_of = {query.id: row for row, query in enumerate(matrix.queries)}
    column_of = {ids[name]: column for column, name in enumerate(matrix.experts)}
    best = matrix.experts.index(best_single)
    return {
        key: float(matrix.values[row_of[query_id], column_of[expert_id]] - matrix.values[row_of[query_id], best])
        for key, query_id, expert_id in decided
        if query_id in row_of
    }


class _TrialStore:
    """The outcomes in a folder, one file each."""

    def __init__(self, folder: Path, data: str, pools: Mapping[str, PoolSpec]) -> None:
        self.pools = pools
        self._folder = folder / "trials"
        self._data = data
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
        for left in _remains(folder, self._folder):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _file(self, trial: Trial) -> Path:
        pool = self.pools[trial.pool]
        about = [self._data, asdict(trial), sorted(pool.members), pool.min_coverage]
        return self._folder / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]}.json"

    def read(self, trial: Trial) -> Outcome | None:
        try:
            stored = json.loads(self._file(trial).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Outcome(trial, stored["report"], stored["gains"])

    def keep(self, outcome: Outcome) -> Outcome:
        file = self._file(outcome.trial)
        new = file.with_suffix(".new")
        new.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        new.replace(file)
        return outcome


def _remains(folder: Path, trials: Path) -> Iterator[Path]:
    """What a killed run left."""
    yield from folder.glob(".resplit-*")
    yield from trials.glob("*.new")
