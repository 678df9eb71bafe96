"""The size of micro-batches and shards, from the traits of the engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from benchcoe_jobs.groups import groups
from benchcoe_jobs.services.inference.placement import engine_traits

Item = TypeVar("Item")

# A lost worker costs up to one shard of time: some minutes, estimated from the expert's earlier micro-batches.
_SHARD_S = 120.0

_UNKNOWN_BATCHES, _MOST_BATCHES = 4, 16
"""Micro-batches in a shard: while their duration is unknown, and at most."""

_SHARES = 2
"""Least number of shards for each worker, if there are enough micro-batches: all workers then end at a similar time."""


_PICTURE_BYTES = 32 << 20
"""Of the encoded pictures of a micro-batch, which host and engine process have in memory at the same time."""


def micro_batch_size(engine: str) -> int:
    """The number of queries that an engine is given in one call, and that one commit holds."""
    return engine_traits(engine).micro_batch


def micro_batches(items: Iterable[Item], engine: str, picture_bytes: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in micro-batches, in their order: of `micro_batch_size`, or smaller if their pictures are large.

    `picture_bytes` gives the size of all encoded pictures of an item.
    """
    return groups(items, picture_bytes, _PICTURE_BYTES, longest=micro_batch_size(engine))


def shard_size(engine: str, batch_s: float | None, n_queries: int, n_workers: int) -> int:
    """The number of queries in a shard, a multiple of the micro-batch.

    `batch_s` is the mean time of a micro-batch in seconds, None if unknown. An engine that schedules itself idles at
    the end of each shard, so its shards are as long as allowed until their time is known.
    """
    traits = engine_traits(engine)
    n_batches = _MOST_BATCHES if traits.schedules_itself else _UNKNOWN_BATCHES
    if batch_s is not None:
        n_batches = max(1, min(int(_SHARD_S / max(batch_s, 1e-3)), _MOST_BATCHES))
    if n_workers > 1:
        n_batches = min(n_batches, math.ceil(n_queries / (_SHARES * n_workers) / traits.micro_batch))
    return n_batches * traits.micro_batch
