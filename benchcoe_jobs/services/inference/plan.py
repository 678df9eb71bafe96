"""The queries that profiling asks, the prompts they are put in, and the queries that are still open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks.base import NO_SHOTS, Benchmark, Shots
from benchcoe_jobs.domain import Query, Request
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.picture_opener import OPENER
from benchcoe_jobs.services.inference.shards import micro_batch_size, micro_batches
from benchcoe_jobs.services.quote.quote import Quote, quote_part
from benchcoe_jobs.store.results import catalog, file_origins, pictures, prompt_inputs, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.session import Store

CHARACTERS_PER_TOKEN = 4
"""For an estimate only; English text has four to five."""


@dataclass(frozen=True)
class PromptPlan:
    """Queries of a benchmark in the order in which they are asked, and what their prompts are made from.

    `provenance` is the part of a run's provenance that the benchmark determines; its key there is "asked_as".
    """

    benchmark_id: int
    benchmark: Benchmark
    shots: Mapping[str, Shots]
    queries: Sequence[QueryRef]
    provenance: Mapping[str, Any]

    def request(self, query: Query) -> Request:
        """The request of a query, with the worked examples of its subject."""
        return self.benchmark.request(query, self.shots.get(query.subject, NO_SHOTS))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What profiling a benchmark would do, in numbers of queries.

    `reused` have a response, `errors` an error row; `to_ask` are asked, in `batches` micro-batches. `prompt_tokens` is
    estimated from characters, `seconds` from the expert's earlier micro-batches of this benchmark; None if there are
    none.
    """

    benchmark: str
    queries: int
    reused: int
    errors: int
    to_ask: int
    batches: int
    prompt_tokens: int
    seconds: float | None


def prompt_plans(
    connection: Connection, names: Sequence[str] = (), *, split: str | None = None, limit: int | None = None
) -> list[PromptPlan]:
    """The plans of some benchmarks, by default of every stored benchmark that is registered here.

    `limit` is per benchmark, see `prompt_inputs.promptable`. Raises UsageError for a benchmark that cannot be asked.
    """
    if not names:
        stored = {str(row["benchmark"]) for row in catalog.benchmarks(connection)}
        found = [catalog.find_benchmark(connection, name) for name in registry.names("benchmarks") if name in stored]
        found = [(id_, name) for id_, name in found if catalog.has_queries(connection, id_)]
    else:
        found = [catalog.find_benchmark(connection, name) for name in dict.fromkeys(names)]
    plans = []
    for benchmark_id, name in found:
        queries = prompt_inputs.promptable(connection, benchmark_id, split, limit)
        if not queries:
            raise UsageError(f"{name} has no query with a text" + (f" in split {split}" if split else ""))
        plans.append(prompt_plan(connection, benchmark_id, name, queries))
    return plans


def prompt_plan(connection: Connection, benchmark_id: int, name: str, queries: Sequence[QueryRef]) -> PromptPlan:
    """The plan of some queries of a benchmark. Raises UsageError if the benchmark cannot be asked."""
    known = registry.names("benchmarks")
    if name not in known:
        raise UsageError(
            f"benchmark {name!r} has no prompt and no scorer here; the benchmarks that have are {', '.join(known)}"
        )
    benchmark: Benchmark = registry.load("benchmarks", name)()
    stored = prompt_inputs.stored_shots(connection, benchmark_id)
    without = sorted({query.subject for query in queries} - stored.keys())
    if benchmark.n_shots and without:
        raise UsageError(
            f"{name} is asked with {benchmark.n_shots} worked examples, and the store has none for {without[0]!r}: "
            f"add them with `benchcoe-jobs add-benchmark {name} FOLDER` (or --hub) from the published folder"
        )
    shots = {subject: Shots(row["preamble"], tuple(row["blocks"])) for subject, row in stored.items()}
    digest = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    provenance: dict[str, Any] = {
        "template": benchmark.template,
        "decoding": asdict(benchmark.decoding),
        "shots": digest,
    }
    if pictures.any_of_benchmark(connection, benchmark_id):  # other runs keep their fingerprints
        provenance["images"] = OPENER
    # The form in which the store returns it: JSON has no tuples.
    return PromptPlan(benchmark_id, benchmark, shots, queries, json.loads(json.dumps(provenance)))


def forecast(
    store: Store, expert_id: int, expert: ExpertRow, plan: PromptPlan, *, retry_errors: bool = False
) -> Forecast:
    """What profiling would do, without loading the engine.

    The engine's exact version is unknown until it is loaded, so the responses counted as reused are those of the
    expert's newest run with the same prompts.
    """
    with store.reading() as connection:
        run_id = newest_run(connection, expert_id, plan)
        recorded = {} if run_id is None else responses.answered(connection, run_id)
        latency_s = None if run_id is None else responses.mean_latency_s(connection, run_id)
    to_ask = still_open(plan, recorded, retry_errors)
    with store.reading() as connection:
        picture_bytes = pictures.sizes(connection, [query.id for query in to_ask])
    characters = batches = 0
    for batch in micro_batches(to_ask, expert.engine, lambda query: picture_bytes.get(query.id, 0)):
        batches += 1
        with store.reading() as connection:
            contents = prompt_inputs.contents(connection, [query.id for query in batch])
        for request in map(plan.request, contents.values()):
            characters += len(request.prompt(len(request.shots)))
    outcomes = [recorded[query.id] for query in plan.queries if query.id in recorded]
    return Forecast(
        benchmark=plan.benchmark.name,
        queries=len(plan.queries),
        reused=sum(outcomes),
        errors=len(outcomes) - sum(outcomes),
        to_ask=len(to_ask),
        batches=batches,
        prompt_tokens=characters // CHARACTERS_PER_TOKEN,
        seconds=None if latency_s is None else batches * latency_s,
    )


def profile_quote(
    connection: Connection,
    expert_id: int,
    expert: ExpertRow,
    plans: Sequence[PromptPlan],
    *,
    retry_errors: bool = False,
) -> Quote:
    """The quote of the queries of some plans that an expert has not answered, with any version of its engine."""
    parts = []
    for plan in plans:
        run_id = newest_run(connection, expert_id, plan)
        recorded = {} if run_id is None else responses.answered(connection, run_id)
        n = len(still_open(plan, recorded, retry_errors))
        of = plan.benchmark_id, plan.benchmark.name
        parts.append(quote_part(connection, expert_id, of, n, micro_batch_size(expert.engine)))
    return Quote(parts)


def without_imported(connection: Connection, expert_id: int, plans: Sequence[PromptPlan]) -> list[PromptPlan]:
    """The plans without the queries on which the expert's score was imported: it would be replaced and lost."""
    return [
        replace(plan, queries=[query for query in plan.queries if query.id not in imported])
        for plan in plans
        for imported in [file_origins.imported_queries(connection, expert_id, plan.benchmark_id)]
    ]


def newest_run(connection: Connection, expert_id: int, plan: PromptPlan) -> int | None:
    """The id of an expert's newest run with the prompts of a plan, with any version of its engine; None if none."""
    runs = responses.runs_of(connection, expert_id, plan.benchmark_id)
    return next((id_ for id_, provenance in runs if provenance.get("asked_as") == plan.provenance), None)


def still_open(plan: PromptPlan, recorded: Mapping[int, bool], retry_errors: bool) -> list[QueryRef]:
    """The queries without a row in `recorded` (query id -> whether answered), with `retry_errors` also the errors."""
    return [
        query
        for query in plan.queries
        if not recorded.get(query.id, False) and (retry_errors or query.id not in recorded)
    ]
