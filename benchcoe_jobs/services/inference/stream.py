"""Stream micro-batches through an expert: the next are computed while the last is stored, until the lease is over."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from benchcoe_jobs.domain import UNANSWERED, Completion
from benchcoe_jobs.engines.engine_client import EngineClient, MicroBatch
from benchcoe_jobs.job_queue.lease import Lease

Item = TypeVar("Item")


def completions(
    client: EngineClient,
    lease: Lease,
    batches: Iterable[Sequence[Item]],
    batch_of: Callable[[Sequence[Item]], MicroBatch],
) -> Generator[tuple[list[Item], list[Completion], float], None, None]:
    """Yield (items, their completions, seconds since the previous yield) for each batch of items, in order.

    `batch_of` makes the requests of a batch. Items whose requests the expert did not answer, because an error ended the
    run, are left out: they stay open.

    Once the lease is over, the micro-batches already sent are still answered, and no more are sent; then raises what
    `Lease.check` raises. Also raises EngineError. Close the generator if it is not read to its end.
    """
    pending: deque[Sequence[Item]] = deque()
    is_over = False

    def until_over() -> Iterator[MicroBatch]:
        nonlocal is_over
        for batch in batches:
            if lease.is_over:
                is_over = True
                return
            pending.append(batch)
            yield batch_of(batch)

    since = time.monotonic()
    for completed in client.stream(until_over()):
        now = time.monotonic()
        pairs = zip(pending.popleft(), completed, strict=True)
        answered = [(item, one) for item, one in pairs if one.finish_reason != UNANSWERED.finish_reason]
        yield [item for item, _ in answered], [one for _, one in answered], now - since
        since = now
    if is_over:
        lease.check()
