"""The size of micro-batches and shards follows from the traits of the engine."""

from __future__ import annotations

import pytest

from benchcoe_jobs.services.inference import shards
from benchcoe_jobs.store.results.joins import QueryRef


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


def test_a_micro_batch_is_smaller_if_its_pictures_are_large() -> None:
    """The limit is 32 MiB; a query whose pictures exceed it stands alone."""
    queries = [QueryRef(id_, str(id_), "maps", "train", 1) for id_ in range(70)]

    def sizes(**n_mib: int) -> list[int]:
        picture_bytes = {int(key[1:]): n << 20 for key, n in n_mib.items()}
        batches = list(shards.micro_batches(queries, "transformers", lambda query: picture_bytes.get(query.id, 0)))
        assert [query for batch in batches for query in batch] == queries
        return [len(batch) for batch in batches]

    assert sizes() == [64, 6]
    assert sizes(q0=16, q1=16, q2=1, q3=40, q4=1) == [2, 1, 1, 64, 2]
