"""Ask an expert stored questions again and compare its answers with the stored ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchcoe_jobs.benchmarks.base import Benchmark, stored_text
from benchcoe_jobs.domain import Query
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.services.inference.plan import PromptPlan, newest_run, prompt_plans
from benchcoe_jobs.store.results import prompt_inputs, responses
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_AT_ONCE = 8
"""Questions of one micro-batch: the test may end after any of them."""

_MOST_ERRORS = 5


@dataclass(frozen=True)
class StoredAnswers:
    """The answers of an expert's newest run on a benchmark: the plan of their prompts, and query id -> text."""

    plan: PromptPlan
    run_id: int
    texts: dict[int, str]

    def sample(self, n: int, seed: int) -> list[QueryRef]:
        """At most `n` answered queries in an order that depends on the seed alone."""
        answered = sorted((query for query in self.plan.queries if query.id in self.texts), key=lambda query: query.id)
        order = np.random.default_rng(seed).permutation(len(answered))
        return [answered[place] for place in order[:n].tolist()]


def stored_answers(store: Store, expert: str, expert_id: int, benchmarks: Sequence[str]) -> list[StoredAnswers]:
    """The stored answers of an expert by benchmark. Raises UsageError if it has none that its engine gave here."""
    found = []
    with store.reading() as connection:
        for plan in prompt_plans(connection, benchmarks):
            run_id = newest_run(connection, expert_id, plan)
            texts = {} if run_id is None else responses.texts(connection, run_id)
            if run_id is not None and texts:
                found.append(StoredAnswers(plan, run_id, texts))
    if not found:
        raise UsageError(
            f"expert {expert!r} has no stored answers with the current prompts to compare with: "
            f"`benchcoe-jobs profile {expert}` asks it"
        )
    return found


def agreements(store: Store, client: EngineClient, known: StoredAnswers, queries: Sequence[QueryRef]) -> Iterator[bool]:
    """Ask queries again; for each answer whether it agrees with the stored one. Nothing is stored.

    Questions that end in an error are left out; raises BenchcoeError if they are many or all, and EngineError.
    """
    errors = 0
    for start in range(0, len(queries), _AT_ONCE):
        part = queries[start : start + _AT_ONCE]
        with store.reading() as connection:
            contents = prompt_inputs.contents(connection, [query.id for query in part])
        requests = [known.plan.request(contents[query.id]) for query in part]
        for query, completion in zip(part, client.run(requests, known.plan.benchmark.decoding), strict=True):
            if completion.finish_reason == "error":
                errors += 1
                if errors > _MOST_ERRORS or errors == len(queries):
                    n_errors = counted(errors, "question")
                    raise BenchcoeError(f"{n_errors} ended in an error, the last one: {completion.error}")
                continue
            text = responses.storable(stored_text(completion))
            yield agrees(known.plan.benchmark, contents[query.id], known.texts[query.id], text)


def agrees(benchmark: Benchmark, query: Query, before: str, now: str) -> bool:
    """Whether two answers are the same: what the scorer extracts, or the texts if it extracts nothing from either."""
    first, second = (benchmark.score(text, query).extracted for text in (before, now))
    return before == now if first is None and second is None else first == second
