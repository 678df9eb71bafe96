"""What profiling has to ask: the queries of benchmarks, how they are put, and which are still open."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks.base import NO_SHOTS, Benchmark, Shots
from benchcoe_jobs.domain import Query, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store import asking, catalog, results
from benchcoe_jobs.store.asking import Askable
from benchcoe_jobs.store.experts import ExpertRow
from benchcoe_jobs.store.session import Store

RECORDED = "recorded"
"""The engine that is none: results of such an expert are imported."""

CHARACTERS_PER_TOKEN = 4
"""For an estimate only; English prose has four to five."""

_BATCH = 64
_LARGER_BATCH = {"vllm": 512}  # it schedules by itself, hundreds at once

# A shard is what a lost worker costs in time: some minutes, by what the expert's batches took before.
_SHARD_S = 120.0
_UNKNOWN_BATCHES, _MOST_BATCHES = 4, 16
_SHARES = 2
"""Every worker gets so many shards at least, where there are batches enough: they then end at about the same time."""


def batch_size(engine: str) -> int:
    """How many queries an engine is asked at once: what a kill costs, and what one commit holds."""
    return _LARGER_BATCH.get(engine, _BATCH)


def shard_size(engine: str, batch_s: float | None, n_queries: int, n_workers: int) -> int:
    """How many of some queries make a shard, where a batch of them takes so long (None: nobody knows yet).

    An engine that is fed without a break has a shard of as many batches as may be: it idles at the end of each.
    """
    batch = batch_size(engine)
    n_batches = _MOST_BATCHES if engine in _LARGER_BATCH else _UNKNOWN_BATCHES
    if batch_s is not None:
        n_batches = max(1, min(int(_SHARD_S / max(batch_s, 1e-3)), _MOST_BATCHES))
    if n_workers > 1:
        n_batches = min(n_batches, math.ceil(n_queries / (_SHARES * n_workers) / batch))
    return n_batches * batch


def new_expert(
    name: str,
    engine: str,
    model: str | None,
    revision: str | None,
    costs: Mapping[str, float | None],
    given: Mapping[str, Any],
) -> ExpertRow:
    """An expert from what its user said of it: `costs` are its cost and prices, `given` settings of its engine.

    None stands where nothing was said.

    Raises UsageError where an engine lacks its model, or settings their engine.
    """
    said = {key: value for key, value in given.items() if value is not None}
    if engine == RECORDED:
        if said:
            raise UsageError(f"engine {RECORDED} runs nothing and has no setting {', '.join(said)}")
        return ExpertRow(name, engine, model, revision, {}, **costs)
    if not model:
        raise UsageError(f"engine {engine} needs --model: a folder, a hub id or an endpoint's name for it")
    plain = ExpertSettings(engine, model)
    settings = {key: value for key, value in said.items() if value != getattr(plain, key)}
    return ExpertRow(name, engine, model, revision, settings, **costs)


def settings_of(expert: ExpertRow) -> ExpertSettings:
    """How to run a stored expert. Raises UsageError where it cannot be run."""
    if expert.engine == RECORDED or expert.model is None:
        raise UsageError(
            f"expert {expert.name!r} has no engine: its results are imported with `benchcoe-jobs import-results`"
        )
    return ExpertSettings(expert.engine, expert.model, expert.revision, **expert.settings)


@dataclass(frozen=True)
class Plan:
    """A benchmark's queries in the order of asking, and how they are put.

    `asked_as` is the part of a run's provenance that the benchmark decides.
    """

    benchmark_id: int
    benchmark: Benchmark
    shots: Mapping[str, Shots]
    queries: Sequence[Askable]
    asked_as: Mapping[str, Any]

    def request(self, query: Query) -> Request:
        """The prompt of a query, with the worked examples of its subject."""
        return self.benchmark.request(query, self.shots.get(query.subject, NO_SHOTS))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What profiling a benchmark would do.

    `there` are answered already, `errors` have an error row; `to_ask` are asked, in `batches`.
    `prompt_tokens` is an estimate from characters. `seconds` is what the expert's earlier answers to this
    benchmark took, None where there are none.
    """

    benchmark: str
    queries: int
    there: int
    errors: int
    to_ask: int
    batches: int
    prompt_tokens: int
    seconds: float | None


def make_plans(
    connection: Connection, names: Sequence[str] = (), *, split: str | None = None, limit: int | None = None
) -> list[Plan]:
    """What there is to ask: of some benchmarks, else of every stored one that this program knows.

    `limit` is per benchmark, see `asking.askable`. Raises UsageError for a benchmark that cannot be asked.
    """
    if not names:
        stored = {str(row["benchmark"]) for row in catalog.benchmarks(connection)}
        found = [catalog.find_benchmark(connection, name) for name in registry.names("benchmarks") if name in stored]
        found = [(id_, name) for id_, name in found if catalog.has_queries(connection, id_)]
    else:
        found = [catalog.find_benchmark(connection, name) for name in dict.fromkeys(names)]
    plans = []
    for benchmark_id, name in found:
        queries = asking.askable(connection, benchmark_id, split, limit)
        if not queries:
            raise UsageError(f"{name} has no query with a text" + (f" in split {split}" if split else ""))
        plans.append(plan_of(connection, benchmark_id, name, queries))
    return plans


def plan_of(connection: Connection, benchmark_id: int, name: str, queries: Sequence[Askable]) -> Plan:
    """How some queries of a benchmark are asked. Raises UsageError for a benchmark that cannot be."""
    known = registry.names("benchmarks")
    if name not in known:
        raise UsageError(
            f"benchmark {name!r} has no prompt and no scorer here: those that can be asked are {', '.join(known)}"
        )
    benchmark: Benchmark = registry.load("benchmarks", name)()
    stored = asking.stored_shots(connection, benchmark_id)
    without = sorted({query.subject for query in queries} - stored.keys())
    if benchmark.n_shots and without:
        raise UsageError(
            f"{name} is asked with {benchmark.n_shots} worked examples, and the store has none for {without[0]!r}: "
            f"`benchcoe-jobs add-benchmark {name} FOLDER` (or --hub) brings them, from the folder as it is published"
        )
    shots = {subject: Shots(row["preamble"], tuple(row["blocks"])) for subject, row in stored.items()}
    digest = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    asked_as = {"template": benchmark.template, "decoding": asdict(benchmark.decoding), "shots": digest}
    # As the store gives it back, where a tuple has become a list.
    return Plan(benchmark_id, benchmark, shots, queries, json.loads(json.dumps(asked_as)))


def forecast(store: Store, expert_id: int, expert: ExpertRow, plan: Plan, *, retry_errors: bool = False) -> Forecast:
    """What profiling would do, without an engine.

    Only the engine knows its exact version, so what is there already is that of the expert's newest run
    with the same prompts.
    """
    with store.reading() as connection:
        run_id = newest_run(connection, expert_id, plan)
        there = {} if run_id is None else results.answered(connection, run_id)
        latency_s = None if run_id is None else results.mean_latency_s(connection, run_id)
    to_ask = still_open(plan, there, retry_errors)
    size = batch_size(expert.engine)
    characters = 0
    for start in range(0, len(to_ask), size):
        with store.reading() as connection:
            contents = asking.contents(connection, [query.id for query in to_ask[start : start + size]])
        for request in map(plan.request, contents.values()):
            characters += len(request.prompt(len(request.shots)))
    batches = math.ceil(len(to_ask) / size)
    mine = [there[query.id] for query in plan.queries if query.id in there]
    return Forecast(
        benchmark=plan.benchmark.name,
        queries=len(plan.queries),
        there=sum(mine),
        errors=len(mine) - sum(mine),
        to_ask=len(to_ask),
        batches=batches,
        prompt_tokens=characters // CHARACTERS_PER_TOKEN,
        seconds=None if latency_s is None else batches * latency_s,
    )


def newest_run(connection: Connection, expert_id: int, plan: Plan) -> int | None:
    """The newest run in which an expert was asked in a plan's way, by whichever version of its engine."""
    runs = results.runs_of(connection, expert_id, plan.benchmark_id)
    return next((id_ for id_, provenance in runs if provenance.get("asked_as") == plan.asked_as), None)


def still_open(plan: Plan, there: Mapping[int, bool], retry_errors: bool) -> list[Askable]:
    """The queries that have no response, nor with `retry_errors` unset an error row."""
    return [
        query for query in plan.queries if not there.get(query.id, False) and (retry_errors or query.id not in there)
    ]
