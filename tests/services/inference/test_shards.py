"""The size of micro-batches and shards follows from the traits of the engine."""

from __future__ import annotations

import pytest

from benchcoe_jobs.services.inference import shards


@pytest.mark.parametrize(
    ("engine", "batch_s", "n_workers", "n_batches"),
    [
        ("transformers", None, 1, 4),  # unknown
        ("vllm", None, 1, 16),  # it idles at the end of a shard
        ("transformers", 30.0, 1, 4),  # two minutes
        ("vllm", 30.0, 1, 4),
        ("transformers", 1000.0, 1, 1),
        ("transformers", 0.0, 1, 16),
        ("transformers", 0.0, 8, 4),  # 64 micro-batches for 16 shards
    ],
)
def test_the_size_of_a_shard(engine: str, batch_s: float | None, n_workers: int, n_batches: int) -> None:
    size = shards.micro_batch_size(engine)
    assert shards.shard_size(engine, batch_s, 64 * size, n_workers) == n_batches * size
