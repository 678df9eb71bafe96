"""The quote of a run: its tokens, worker time and cost, from what the store knows of the expert or of alike ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.services.quote.interval import Interval, added, of_alike, of_sample
from benchcoe_jobs.store.job_queue import usage
from benchcoe_jobs.store.job_queue.usage import Usage
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow

ENOUGH = 20
"""Answers from which an expert is quoted by its own; otherwise a probe asks this number of questions."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one expert takes for `queries` questions. A figure is None if the store knows nothing of its kind.

    `seconds` are those of workers, in all. `cost` is in the unit of the expert's prices. `source` says what the figures
    are from.
    """

    expert: str
    benchmark: str | None
    queries: int
    prompt_tokens: Interval | None
    completion_tokens: Interval | None
    seconds: Interval | None
    cost: Interval | None
    source: str

    @property
    def is_known(self) -> bool:
        """Whether there is any figure, or nothing to ask."""
        return self.queries == 0 or any((self.prompt_tokens, self.completion_tokens, self.seconds, self.cost))


@dataclass(frozen=True, slots=True)
class Quote:
    """The parts of a run, and their sums where every part has the figure."""

    parts: list[Part]

    @property
    def queries(self) -> int:
        """The questions that would be asked."""
        return sum(part.queries for part in self.parts)

    def total(self, figure: str) -> Interval | None:
        """The sum of a figure, such as `seconds`; None if it is unknown for a part with questions."""
        found = [getattr(part, figure) for part in self.parts if part.queries]
        return None if None in found or not found else added(found)

    def as_json(self) -> dict[str, Any]:
        """The quote as one JSON object: the sums, and each part."""
        figures = ("prompt_tokens", "completion_tokens", "seconds", "cost")
        totals = {name: asdict(total) if (total := self.total(name)) else None for name in figures}
        return {"queries": self.queries, **totals, "parts": [asdict(part) for part in self.parts]}


def quote_part(
    connection: Connection, expert_id: int, benchmark: tuple[int, str] | None, n: int, micro_batch: int
) -> Part:
    """The quote of `n` questions of a benchmark (id, name), or of any kind, for an expert.

    `micro_batch` is the size of its engine's micro-batches, whose answers share their time.
    """
    expert = experts.read_expert_by_id(connection, expert_id)
    benchmark_id, name = benchmark or (None, None)
    own = usage.of_expert(connection, expert_id, benchmark_id)
    if n == 0:
        zero = Interval(0.0, 0.0, 0.0)
        return Part(expert.name, name, 0, zero, zero, zero, zero, "nothing to ask")
    if len(own) >= ENOUGH:
        rate = usage.seconds_per_answer(connection, expert_id, benchmark_id)
        return _from_own(expert, name, n, own, rate, micro_batch)
    return _from_alike(connection, expert, expert_id, benchmark, n, micro_batch)


def _from_own(
    expert: ExpertRow, benchmark: str | None, n: int, own: Sequence[Usage], rate: float | None, micro_batch: int
) -> Part:
    prompt = _sampled([answer.prompt_tokens for answer in own], n)
    completion = _sampled([answer.completion_tokens for answer in own], n)
    latencies = [answer.latency_s for answer in own if answer.latency_s is not None]
    seconds = None
    if len(latencies) >= ENOUGH and (mean := sum(latencies) / len(latencies)) > 0:
        scale = rate / mean if rate else 1.0 / micro_batch
        seconds = of_sample([latency * scale for latency in latencies], n, micro_batch)
    recorded = _sampled([answer.cost for answer in own], n)
    cost = recorded or _cost(expert, n, lambda: _sampled_prices(expert, own, n), seconds)
    where = f"its own {len(own)} answers" + (f" on {benchmark}" if benchmark else "")
    return Part(expert.name, benchmark, n, prompt, completion, seconds, cost, where)


def _from_alike(
    connection: Connection,
    expert: ExpertRow,
    expert_id: int,
    benchmark: tuple[int, str] | None,
    n: int,
    micro_batch: int,
) -> Part:
    others = [] if benchmark is None else usage.of_others(connection, expert_id, benchmark[0])
    others = [other for other in others if other.n >= ENOUGH]
    same = [other for other in others if other.engine == expert.engine]

    def alike(means: Sequence[float | None]) -> Interval | None:
        known = [mean for mean in means if mean]
        return of_alike(known, n) if known else None

    prompt = alike([other.prompt_tokens for other in others])
    completion = alike([other.completion_tokens for other in others])
    seconds = alike([other.latency_s / micro_batch for other in same if other.latency_s is not None])
    cost = _cost(expert, n, lambda: _priced(expert, prompt, completion), seconds)
    of = f"{len(others)} other expert{'s' if len(others) > 1 else ''} on {benchmark[1]}" if benchmark and others else ""
    return Part(expert.name, benchmark and benchmark[1], n, prompt, completion, seconds, cost, of or "nothing is known")


def _sampled(values: Sequence[float | None], n: int) -> Interval | None:
    """The total by the known values, if they are enough and of most answers."""
    known = [float(value) for value in values if value is not None]
    return of_sample(known, n) if len(known) >= max(ENOUGH, len(values) / 2) else None


def _sampled_prices(expert: ExpertRow, own: Sequence[Usage], n: int) -> Interval | None:
    """The total of the priced tokens, answer by answer: long questions may have long answers."""
    if expert.price_in is None and expert.price_out is None:
        return None
    price_in, price_out = expert.price_in or 0.0, expert.price_out or 0.0
    priced = [
        (answer.prompt_tokens or 0) * price_in / 1e6 + (answer.completion_tokens or 0) * price_out / 1e6
        for answer in own
        if (answer.prompt_tokens is not None or not price_in)
        and (answer.completion_tokens is not None or not price_out)
    ]
    return of_sample(priced, n) if len(priced) >= ENOUGH else None


def _priced(expert: ExpertRow, prompt: Interval | None, completion: Interval | None) -> Interval | None:
    """The tokens by their prices; None without a price, or if priced tokens are unknown."""
    parts = []
    for tokens, price in ((prompt, expert.price_in), (completion, expert.price_out)):
        if price is not None:
            if tokens is None:
                return None
            parts.append(tokens.times(price / 1e6))
    return added(parts) if parts else None


def _cost(
    expert: ExpertRow, n: int, priced: Callable[[], Interval | None], seconds: Interval | None
) -> Interval | None:
    """The cost in the order of docs/store.md: tokens by their prices, seconds by their price, the cost of a query."""
    if (by_tokens := priced()) is not None:
        return by_tokens
    if expert.price_gpu_second is not None and seconds is not None:
        return seconds.times(expert.price_gpu_second)
    return None if expert.cost is None else Interval(n * expert.cost, n * expert.cost, n * expert.cost)
