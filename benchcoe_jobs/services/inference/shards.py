"""The size of micro-batches and shards, and the queue that a shard waits in, from the traits of its engine."""

from __future__ import annotations

import math

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.errors import UsageError

# A lost worker costs up to one shard of time: some minutes, estimated from the expert's earlier micro-batches.
_SHARD_S = 120.0

_UNKNOWN_BATCHES, _MOST_BATCHES = 4, 16
"""Micro-batches in a shard: while their duration is unknown, and at most."""

_SHARES = 2
"""Least number of shards for each worker, if there are enough micro-batches: all workers then end at a similar time."""


def micro_batch_size(engine: str) -> int:
    """The number of queries that an engine is given in one call, and that one commit holds."""
    return _traits(engine).micro_batch


def shard_size(engine: str, batch_s: float | None, n_queries: int, n_workers: int) -> int:
    """The number of queries in a shard, a multiple of the micro-batch.

    `batch_s` is the mean time of a micro-batch in seconds, None if unknown. An engine that schedules itself idles at
    the end of each shard, so its shards are as long as allowed until their time is known.
    """
    traits = _traits(engine)
    n_batches = _MOST_BATCHES if traits.schedules_itself else _UNKNOWN_BATCHES
    if batch_s is not None:
        n_batches = max(1, min(int(_SHARD_S / max(batch_s, 1e-3)), _MOST_BATCHES))
    if n_workers > 1:
        n_batches = min(n_batches, math.ceil(n_queries / (_SHARES * n_workers) / traits.micro_batch))
    return n_batches * traits.micro_batch


def placement(settings: ExpertSettings) -> tuple[Queue, int]:
    """The queue that an expert's shards wait in, and the number of GPUs that a worker must have for them.

    The number is 0 for a model that fits on one GPU: a worker without a GPU runs it on the CPU.
    """
    if not _traits(settings.engine).needs_gpu:
        return Queue.CPU, 0
    return Queue.GPU, settings.tensor_parallel if settings.tensor_parallel > 1 else 0


def _traits(engine: str) -> EngineTraits:
    """The traits of an engine. Raises UsageError if the engine is unknown, or a plug-in that declares no traits.

    There is no default, because a plug-in for an endpoint would then wait for a GPU worker that it does not need.
    """
    traits = getattr(registry.load("engines", engine), "traits", None)
    if not isinstance(traits, EngineTraits):
        raise UsageError(
            f"engine {engine!r} declares no traits: its class needs `traits = EngineTraits(...)` from "
            "benchcoe_jobs.engines.base, which says whether it needs a GPU"
        )
    return traits
