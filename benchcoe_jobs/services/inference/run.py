"""Run an expert on queries of a benchmark: the shards, and how one shard is run.

A micro-batch is one transaction: its responses, its scores and the labels that follow from them. A process that is
interrupted loses at most the micro-batches that are not committed; the next run asks the queries without a response.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeAlias

from sqlalchemy import Connection

from benchcoe_jobs.benchmarks.base import stored_text
from benchcoe_jobs.domain import Completion, Query
from benchcoe_jobs.engines.engine_client import EngineClient, MicroBatch
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.job_queue.lease import retry_until_available
from benchcoe_jobs.services.inference import stream
from benchcoe_jobs.services.inference.expert_settings import settings_of
from benchcoe_jobs.services.inference.placement import placement
from benchcoe_jobs.services.inference.plan import PromptPlan, newest_run, prompt_plan, still_open
from benchcoe_jobs.services.inference.shards import micro_batches, shard_size
from benchcoe_jobs.store.job_queue import workers
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Tally
from benchcoe_jobs.store.results import aggregates, catalog, experts, pictures, prompt_inputs, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.results.responses import ErrorRow, NewScore
from benchcoe_jobs.store.routing import answer_cost


def shard_group_for(connection: Connection, expert_id: int, expert: ExpertRow, plan: PromptPlan) -> NewShardGroup:
    """The shards that ask an expert all queries of a plan. Raises UsageError if the expert has no engine.

    Answered queries are included: which responses count depends on the version of the engine, which is known only
    once it is loaded.
    """
    queue, gpus = placement(settings_of(expert))
    run_id = newest_run(connection, expert_id, plan)
    ids = [query.id for query in plan.queries]
    batch_s = None if run_id is None else responses.mean_latency_s(connection, run_id)
    size = shard_size(expert.engine, batch_s, len(ids), workers.n_serving(connection, queue))
    pieces = [ids[start : start + size] for start in range(0, len(ids), size)]
    return NewShardGroup(
        queue,
        [({"benchmark": plan.benchmark.name, "queries": piece}, len(piece)) for piece in pieces],
        expert_id=expert_id,
        benchmark_id=plan.benchmark_id,
        gpus=gpus,
    )


def run_shard(assignment: Assignment) -> None:
    """Run a shard of such a group: load the expert unless it is resident, and ask the queries without a response."""
    work, expert_id = assignment.claim.work, assignment.claim.expert_id
    assert expert_id is not None  # noqa: S101  (the shard group has one)
    with assignment.store.reading() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, work["benchmark"])
        plan = prompt_plan(connection, benchmark_id, name, prompt_inputs.by_id(connection, work["queries"]))
        expert = experts.read_expert_by_id(connection, expert_id)
    settings = settings_of(expert)
    client = assignment.engine_of(expert_id, settings)
    shard = _ShardRun(assignment, plan, expert_id, client)
    provenance = {
        "engine": client.version(),
        "model": expert.model,
        "revision": expert.revision,
        "asked_as": plan.provenance,
    }
    shard.open_run(provenance)
    shard.ask(settings.engine)


class _ShardRun:
    """A shard while it is run. `to_ask` is known after `open_run`."""

    def __init__(self, assignment: Assignment, plan: PromptPlan, expert_id: int, client: EngineClient) -> None:
        self._store = assignment.store
        self._lease = assignment.lease
        self._request = assignment.claim.request
        self._retry_errors = bool(self._request.get("retry_errors"))
        self._plan = plan
        self._expert_id = expert_id
        self._client = client
        self._loads = client.loads
        self._run_id = 0
        self.to_ask: list[QueryRef] = []

    def open_run(self, provenance: Mapping[str, Any]) -> None:
        """Find or create the run with this provenance, and the queries that it has no response to."""
        self._lease.commit(lambda connection: self._find_open(connection, provenance), loads=self._new_loads())

    def _find_open(self, connection: Connection, provenance: Mapping[str, Any]) -> Tally:
        self._run_id = responses.ensure_run(connection, self._expert_id, self._plan.benchmark_id, provenance)
        queries = self._plan.queries
        recorded = responses.answered(connection, self._run_id, [query.id for query in queries])
        self.to_ask = still_open(self._plan, recorded, self._retry_errors)
        n_reused = sum(recorded.values())
        answered = min(self._lease.tally.answered, n_reused)  # by an earlier claim of this shard
        found = Tally(n_reused - answered, answered, len(queries) - n_reused - len(self.to_ask))
        return found - self._lease.tally

    def ask(self, engine: str) -> None:
        """Ask the open queries in micro-batches, and commit each."""
        picture_bytes = retry_until_available(self._picture_bytes)
        batches = self._affordable(micro_batches(self.to_ask, engine, lambda query: picture_bytes.get(query.id, 0)))
        answered = stream.completions(self._client, self._lease, map(self._with_contents, batches), self._requests)
        with closing(answered):
            for batch, completions, seconds in answered:
                self._commit(batch, completions, seconds)

    def _affordable(self, batches: Iterator[list[QueryRef]]) -> Iterator[list[QueryRef]]:
        """The micro-batches that are sent before the answers since the job was planned reach its `max_cost`."""
        max_cost = self._request.get("max_cost")
        for batch in batches:
            if max_cost is not None and retry_until_available(self._spent) >= max_cost:
                return
            yield batch

    def _spent(self) -> float:
        with self._store.reading() as connection:
            return answer_cost.spent(connection, self._expert_id, self._request["after_response"])

    def _with_contents(self, batch: Sequence[QueryRef]) -> list[_Open]:
        contents = retry_until_available(lambda: self._contents([query.id for query in batch]))
        return [(query, contents[query.id]) for query in batch]

    def _requests(self, batch: Sequence[_Open]) -> MicroBatch:
        return [self._plan.request(content) for _, content in batch], self._plan.benchmark.decoding

    def _commit(self, batch: Sequence[_Open], completions: Sequence[Completion], seconds: float) -> None:
        scores: list[NewScore] = []
        errors: list[ErrorRow] = []
        for (query, content), completion in zip(batch, completions, strict=True):
            if completion.finish_reason == "error":
                errors.append(ErrorRow(query.id, completion.error or "the engine gave no reason", completion.latency_s))
            else:
                scores.append(_scored(self._plan, query, content, completion))
        ids = [query.id for query, _ in batch]
        self._lease.commit(
            lambda connection: self._write(connection, ids, scores, errors), seconds=seconds, loads=self._new_loads()
        )

    def _new_loads(self) -> int:
        """The number of loads of the expert since the last call."""
        before, self._loads = self._loads, self._client.loads
        return self._loads - before

    def _contents(self, ids: Sequence[int]) -> dict[int, Query]:
        with self._store.reading() as connection:
            return prompt_inputs.contents(connection, ids)

    def _picture_bytes(self) -> dict[int, int]:
        with self._store.reading() as connection:
            return pictures.sizes(connection, [query.id for query in self.to_ask])

    def _write(
        self, connection: Connection, ids: Sequence[int], answers: Sequence[NewScore], errors: Sequence[ErrorRow]
    ) -> Tally:
        # Another shard may have asked the same queries in the meantime. Its responses and their scores stay; its
        # errors are replaced.
        responses.hold_run(connection, self._run_id)
        recorded = {id_ for id_, has_text in responses.answered(connection, self._run_id, ids).items() if has_text}
        responses.forget_errors(connection, self._run_id, ids)
        new = [answer for answer in answers if answer.query_id not in recorded]
        failed = [row for row in errors if row.query_id not in recorded]
        responses.write_scores(connection, self._expert_id, self._run_id, new)
        responses.write_errors(connection, self._run_id, failed)
        aggregates.refresh_strata(connection, {(self._expert_id, answer.stratum_id) for answer in new})
        return Tally(reused=len(recorded), answered=len(new), errors=len(failed))


_Open: TypeAlias = tuple[QueryRef, Query]
"""A query to ask and its content."""


def _scored(plan: PromptPlan, query: QueryRef, content: Query, completion: Completion) -> NewScore:
    text = responses.storable(stored_text(completion))  # scored as it is stored, so that rescoring finds the same
    scored = plan.benchmark.score(text, content)
    return NewScore(
        query_id=query.id,
        stratum_id=query.stratum_id,
        value=scored.score,
        extracted=scored.extracted,
        rule=scored.rule,
        text=text,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        latency_s=completion.latency_s,
        finish_reason=completion.finish_reason,
    )
