"""Run an experiment: train and evaluate every router for every pool, protocol, fold and seed.

A trial is one router, trained and evaluated once by the services behind `train-router` and `evaluate`, on a temporary
store with the splits of its protocol, fold and seed. Stored outcomes are not computed again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from benchcoe_jobs import __version__
from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.traits import asks_in_stages
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.experiments.plan import Experiment, Protocol
from benchcoe_jobs.services.experiments.resplit import (
    PoolSpec,
    Results,
    read_results,
    resplit_of,
    share_vectors,
    write_resplit,
)
from benchcoe_jobs.services.experiments.trials import TEMPORARY, Outcome, Trial, TrialStore
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.routing import evaluations, routers
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

TESTED = "held out"
"""The benchmark in a temporary store with the queries that are tested out of distribution."""

Parts = dict[str, tuple[Results, dict[int, Split]]]
"""By benchmark name: results, and the split of each position in them that is included."""


@dataclass
class Progress:
    """The outcomes of a run, how many of them were stored before it, and the trials that failed, with the reasons."""

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
    """Run every trial of an experiment whose outcome is not stored in `folder`.

    `planned` is called once with the number of all trials, `progress` with the number of trials that were finished.
    A trial that fails does not stop the others and is run again next time. Raises UsageError for an unknown name.
    """
    pools = _pools(store, experiment)
    names = sorted({name for pool in pools.values() for name in pool.members})
    learns_from_answers = any(asks_in_stages(router.kind) for router in experiment.routers)
    with store.reading() as connection:
        read = partial(read_results, connection, names=names, with_responses=learns_from_answers)
        main = read(experiment.benchmark)
        other = read(experiment.other_benchmark) if experiment.other_benchmark else None
    trials = TrialStore(folder, f"{__version__} {main.fingerprint()} {other.fingerprint() if other else ''}", pools)
    resplits = [
        (part, [Trial(*part, pool, router) for pool in pools for router in experiment.routers])
        for protocol in experiment.protocols
        for seed in experiment.seeds
        for part in ((protocol, fold, seed) for fold in _folds(protocol, main))
    ]
    planned(sum(len(trials_of) for _, trials_of in resplits))
    found = Progress()
    for (protocol, fold, seed), trials_of in resplits:
        stored = {trial: trials.read(trial) for trial in trials_of}
        done = [outcome for outcome in stored.values() if outcome]
        found.outcomes += done
        found.done_before += len(done)
        progress(len(done))
        missing = [trial for trial, outcome in stored.items() if outcome is None]
        if missing:
            with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as home:
                parts = _parts(protocol, fold, seed, main, other)
                _run_resplit(store, Path(home), parts, missing, trials, found, progress)
    return found


def _pools(store: Store, experiment: Experiment) -> dict[str, PoolSpec]:
    """The pools of the experiment by name; a pool of the store keeps its min_coverage."""
    found = {name: PoolSpec(members) for name, members in experiment.pools.items() if members}
    with store.reading() as connection:
        for name in experiment.pools.keys() - found.keys():
            pool = experts.find_pool(connection, name)
            found[name] = PoolSpec(tuple(experts.pool_members(connection, pool.id)), pool.min_coverage)
    return {name: found[name] for name in experiment.pools}


def _folds(protocol: Protocol, results: Results) -> list[str]:
    """The subjects or sources that are held out in turn; one empty name if the protocol holds out none."""
    if protocol is Protocol.HELD_OUT_SUBJECTS:
        return sorted({query.subject for query in results.queries})
    if protocol is Protocol.HELD_OUT_SOURCES:
        sources = sorted({query.source for query in results.queries if query.source})
        if len(sources) < 2:
            n = counted(len(sources), "source")
            raise UsageError(f"the queries of {results.benchmark} have {n}: {protocol} needs two or more")
        return sources
    return [""]


def _parts(protocol: Protocol, fold: str, seed: int, main: Results, other: Results | None) -> Parts:
    """The content of a temporary store: the benchmark to learn from first, then that to test on if it is another."""
    split_of = _splits(main, seed)
    if protocol is Protocol.OTHER_BENCHMARK and other is not None:
        return {main.benchmark: (main, split_of), TESTED: (other, _splits(other, seed))}
    if protocol in (Protocol.HELD_OUT_SUBJECTS, Protocol.HELD_OUT_SOURCES):
        by_subject = protocol is Protocol.HELD_OUT_SUBJECTS
        held_out = {row for row, q in enumerate(main.queries) if fold == (q.subject if by_subject else q.source)}
        kept = {row: split for row, split in split_of.items() if row not in held_out}
        tested: dict[int, Split] = {row: s for row, s in split_of.items() if row in held_out and s is Split.TEST}
        return {main.benchmark: (main, kept), TESTED: (main, tested)}
    return {main.benchmark: (main, split_of)}


def _splits(results: Results, seed: int) -> dict[int, Split]:
    queries = zip(results.queries, results.pictures, strict=True)
    return {row: resplit_of(query, hashes, seed) for row, (query, hashes) in enumerate(queries)}


def _run_resplit(
    store: Store,
    home: Path,
    parts: Parts,
    missing: list[Trial],
    trials: TrialStore,
    found: Progress,
    progress: Callable[[int], None],
) -> None:
    """Run the trials of one protocol, fold and seed on a temporary store in `home`, and add them to `found`."""
    benchmark = next(iter(parts))
    # With a prefix: the experiment may call a pool "all", which is the name of the pool of every expert.
    pools = {f"p {trial.pool}": trials.pools[trial.pool] for trial in missing}
    resplit = write_resplit(store, home / "resplit.db", parts, pools)
    try:
        share_vectors(store, resplit)
        for trial in missing:
            try:
                outcome = _run_trial(resplit, home, benchmark, trial)
            except UsageError as error:
                found.failed.append((trial, str(error)))
            else:
                trials.write(outcome)
                found.outcomes.append(outcome)
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
    out_of_distribution = trial.protocol not in (Protocol.NAIVE, Protocol.IN_DISTRIBUTION)
    tested = TESTED if out_of_distribution else benchmark
    report = evaluate(resplit, home, name, benchmark=tested, split=Split.TEST)
    shown = report.as_json() | {"router": trial.router.name, "pool": trial.pool}
    return Outcome(trial, shown, _gains(resplit, name, tested, report.best_single["expert"], list(report.experts)))


def _gains(resplit: Store, router: str, benchmark: str, best_single: str, names: list[str]) -> dict[str, float]:
    """The score of the chosen expert less that of the best single one, by query key, where all of `names` have one."""
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
