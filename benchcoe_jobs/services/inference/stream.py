"""Micro-batches through an expert: the next is asked while the last is stored, until the lease says stop."""

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
    host: EngineClient, lease: Lease, items: Iterable[Item], batch_of: Callable[[Item], MicroBatch]
) -> Generator[tuple[Item, list[Completion], float], None, None]:
    """(item, completions, seconds since the ones before) of what is asked as `batch_of` says, in order.

    Where the lease says stop, what is under way is still answered, and no more is asked. Raises what
    `Lease.check` raises then, and EngineError. Close it where it is not read to its end.
    """
    sent: deque[Item] = deque()
    is_stopped = False

    def batches() -> Iterator[MicroBatch]:
        nonlocal is_stopped
        for item in items:
            if lease.is_over:
                is_stopped = True
                return
            sent.append(item)
            yield batch_of(item)

    since = time.monotonic()
    for answered in host.stream(batches()):
        now = time.monotonic()
        yield sent.popleft(), answered, now - since
        since = now
    if is_stopped:
        lease.check()
