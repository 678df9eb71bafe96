"""How many queries an engine is asked at once, how many make a shard, and which queue it waits in."""

from __future__ import annotations

import math

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.engines.base import ExpertSettings

_BATCH = 64


_LARGER_BATCH = {"vllm": 512}  # it schedules by itself, hundreds at once


# A shard is what a lost worker costs in time: some minutes, by what the expert's batches took before.
_SHARD_S = 120.0


_UNKNOWN_BATCHES, _MOST_BATCHES = 4, 16


_SHARES = 2
"""Every worker gets so many shards at least, where there are batches enough: they then end at about the same time."""


def micro_batch_size(engine: str) -> int:
    """How many queries an engine is asked at once: what a kill costs, and what one commit holds."""
    return _LARGER_BATCH.get(engine, _BATCH)


def shard_size(engine: str, batch_s: float | None, n_queries: int, n_workers: int) -> int:
    """How many of some queries make a shard, where a batch of them takes so long (None: nobody knows yet).

    An engine that is fed without a break has a shard of as many batches as may be: it idles at the end of each.
    """
    batch = micro_batch_size(engine)
    n_batches = _MOST_BATCHES if engine in _LARGER_BATCH else _UNKNOWN_BATCHES
    if batch_s is not None:
        n_batches = max(1, min(int(_SHARD_S / max(batch_s, 1e-3)), _MOST_BATCHES))
    if n_workers > 1:
        n_batches = min(n_batches, math.ceil(n_queries / (_SHARES * n_workers) / batch))
    return n_batches * batch


def placed(settings: ExpertSettings) -> tuple[Queue, int]:
    """The queue that an expert's shards wait in, and how many GPUs a worker must have for it.

    An endpoint needs none, and a model that fits on one GPU runs on the CPU of a worker without any, too.
    """
    if settings.engine == "openai":
        return Queue.CPU, 0
    return Queue.GPU, settings.tensor_parallel if settings.tensor_parallel > 1 else 0
