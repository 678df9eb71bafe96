"""Profile an expert: ask what is missing, judge it, store it, batch by batch.

A batch is one transaction: its responses, its scores and the labels that follow from them. Whatever ends
the program loses the open batch at most, and profiling again asks what has no response yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchcoe_jobs.benchmarks.base import kept_text
from benchcoe_jobs.domain import Completion, Query
from benchcoe_jobs.engines.host import EngineHost
from benchcoe_jobs.jobs.plan import Plan, batch_size, still_open
from benchcoe_jobs.store import asking, results, standings
from benchcoe_jobs.store.asking import Askable
from benchcoe_jobs.store.experts import ExpertRow
from benchcoe_jobs.store.results import ErrorRow, NewScore
from benchcoe_jobs.store.session import Store


@dataclass
class Profiled:
    """What became of a benchmark's queries: `there` were answered before, `answered` are new.

    `errors` counts all that have an error row now; `mean` is over every score of the run, None without any.
    """

    benchmark: str
    queries: int
    there: int
    answered: int = 0
    errors: int = 0
    mean: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class _Work:
    """A plan under way."""

    plan: Plan
    run_id: int
    to_ask: Sequence[Askable]
    profiled: Profiled


@dataclass
class Profiling:
    """An expert being asked. Made by `begin`; `run` does the work.

    `n_open` is how many queries are to be asked.
    """

    store: Store
    host: EngineHost
    expert: str
    expert_id: int
    _works: list[_Work] = field(default_factory=list)

    @property
    def n_open(self) -> int:
        return sum(len(work.to_ask) for work in self._works)

    @property
    def answered(self) -> int:
        """How many answers were stored so far."""
        return sum(work.profiled.answered for work in self._works)

    @property
    def errors(self) -> int:
        """How many queries have an error row, once `run` is through."""
        return sum(work.profiled.errors for work in self._works)

    def as_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        return {
            "expert": self.expert,
            "loads": self.host.loads,
            "benchmarks": [asdict(work.profiled) for work in self._works],
        }

    def run(self, progress: Callable[[int], None] = lambda queries: None) -> None:
        """Ask all that is open. Raises EngineError where the engine fails at more than single queries."""
        size = batch_size(self.host.settings.engine)
        for work in self._works:
            started = time.monotonic()
            for start in range(0, len(work.to_ask), size):
                batch = work.to_ask[start : start + size]
                self._ask(work, batch)
                progress(len(batch))
            work.profiled.seconds = round(time.monotonic() - started, 3)
            with self.store.reading() as connection:
                there = results.answered(connection, work.run_id)
                work.profiled.mean = results.mean_score(connection, work.run_id)
            work.profiled.errors = sum(there.get(query.id) is False for query in work.plan.queries)

    def _ask(self, work: _Work, batch: Sequence[Askable]) -> None:
        ids = [query.id for query in batch]
        with self.store.reading() as connection:
            contents = asking.contents(connection, ids)
        requests = [work.plan.request(contents[id_]) for id_ in ids]
        completions = self.host.run(requests, work.plan.benchmark.decoding)
        answers: list[NewScore] = []
        errors: list[ErrorRow] = []
        for query, completion in zip(batch, completions, strict=True):
            if completion.finish_reason == "error":
                errors.append(ErrorRow(query.id, completion.error or "the engine gave no reason", completion.latency_s))
            else:
                answers.append(_judged(work.plan, query, contents[query.id], completion))
        self._commit(work, ids, answers, errors)

    def _commit(self, work: _Work, ids: list[int], answers: list[NewScore], errors: list[ErrorRow]) -> None:
        with self.store.writing() as connection:
            # Whoever profiles the same expert beside us may have been first: its response stays, and so must
            # the score of it. What it found to be an error, we may have an answer to.
            results.hold_run(connection, work.run_id)
            there = {id_ for id_, fine in results.answered(connection, work.run_id, ids).items() if fine}
            results.forget_errors(connection, work.run_id, ids)
            new = [answer for answer in answers if answer.query_id not in there]
            results.write_scores(connection, self.expert_id, work.run_id, new)
            results.write_errors(connection, work.run_id, [row for row in errors if row.query_id not in there])
            changed = {(self.expert_id, answer.stratum_id) for answer in new}
            standings.refresh(connection, [work.plan.benchmark_id], changed)
        work.profiled.answered += len(new)


def begin(
    store: Store,
    host: EngineHost,
    expert_id: int,
    expert: ExpertRow,
    plans: Sequence[Plan],
    *,
    retry_errors: bool = False,
) -> Profiling:
    """Load the expert, which alone knows the version that it answers with, and see what it has not answered."""
    profiling = Profiling(store, host, expert.name, expert_id)
    version = host.version()
    for plan in plans:
        provenance = {
            "engine": version,
            "model": expert.model,
            "revision": expert.revision,
            "asked_as": plan.asked_as,
        }
        with store.writing() as connection:
            run_id = results.ensure_run(connection, expert_id, plan.benchmark_id, provenance)
            there = results.answered(connection, run_id)
        n_there = sum(there.get(query.id, False) for query in plan.queries)
        profiled = Profiled(plan.benchmark.name, len(plan.queries), n_there)
        profiling._works.append(_Work(plan, run_id, still_open(plan, there, retry_errors), profiled))
    return profiling


def _judged(plan: Plan, query: Askable, content: Query, completion: Completion) -> NewScore:
    text = results.storable(kept_text(completion))  # judged as it is stored, so that rescoring finds the same
    judged = plan.benchmark.judge(text, content)
    return NewScore(
        query_id=query.id,
        stratum_id=query.stratum_id,
        value=judged.score,
        extracted=judged.extracted,
        stage=judged.stage,
        text=text,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        latency_s=completion.latency_s,
        finish_reason=completion.finish_reason,
    )
