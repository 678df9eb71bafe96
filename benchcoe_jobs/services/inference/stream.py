"""Stream micro-batches through an expert: the next are computed while the last is stored, until the lease is over."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from benchcoe_jobs.domain import Completion
from benchcoe_jobs.engines.engine_client import EngineClient, MicroBatch
from benchcoe_jobs.job_queue.lease import Lease

Item = TypeVar("Item")


def completions(
    client: EngineClient, lease: Lease, items: Iterable[Item], batch_of: Callable[[Item], MicroBatch]
) -> Generator[tuple[Item, list[Completion], float], None, None]:
    """Yield (item, its completions, seconds since the previous yield) in order; `batch_of` makes the requests.

    Once the lease is over, the micro-batches already sent are still answered, and no more are sent; then raises what
    `Lease.check` raises. Also raises EngineError. Close the generator if it is not read to its end.
    """
    pending: deque[Item] = deque()
    is_over = False

    def batches() -> Iterator[MicroBatch]:
        nonlocal is_over
        for item in items:
            if lease.is_over:
                is_over = True
                return
            pending.append(item)
            yield batch_of(item)

    since = time.monotonic()
    for answered in client.stream(batches()):
        now = time.monotonic()
        yield pending.popleft(), answered, now - since
        since = now
    if is_over:
        lease.check()
