"""The queue and the GPUs of a shard follow from the traits of the engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_quiz
from profiling import submit_profile

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.inference.placement import placement
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.store.job_queue import claims
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store


def test_a_plugin_that_needs_no_gpu_waits_for_any_worker(store: Store, folder: Path) -> None:
    """Also with the setting that would otherwise ask for two GPUs."""
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 10))
    settings = {"tensor_parallel": 2}
    job_id = submit_profile(store, ExpertRow("ann", "hosted", "ann", settings=settings))
    with store.writing() as connection:
        assert claims.claim(connection, "with GPUs", ["gpu"], gpus=2, lease_s=60) is None
        claim = claims.claim(connection, "without a GPU", ["cpu"], gpus=0, lease_s=60)
    assert claim is not None
    assert claim.job_id == job_id


@pytest.mark.parametrize(
    ("engine", "tensor_parallel", "queue", "gpus"),
    [
        ("hosted", 1, Queue.CPU, 0),
        ("openai", 1, Queue.CPU, 0),
        ("echo", 1, Queue.GPU, 0),
        ("transformers", 1, Queue.GPU, 0),
        ("vllm", 1, Queue.GPU, 0),
        ("vllm", 4, Queue.GPU, 4),
    ],
)
def test_the_queue_and_the_gpus_of_a_shard(engine: str, tensor_parallel: int, queue: Queue, gpus: int) -> None:
    assert placement(ExpertSettings(engine, "m", tensor_parallel=tensor_parallel)) == (queue, gpus)


def test_traits_are_read_without_the_library_of_an_engine() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'vllm', 'httpx2', 'PIL', 'numpy'): sys.modules[name] = None\n"
        "from benchcoe_jobs.services.inference.shards import micro_batch_size\n"
        "print(*map(micro_batch_size, ('openai', 'transformers', 'vllm')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "64 64 512\n"


def test_a_plugin_without_traits_is_named_with_what_it_lacks() -> None:
    with pytest.raises(UsageError, match=r"engine 'no-traits' declares no traits: .*EngineTraits\(\.\.\.\)"):
        placement(ExpertSettings("no-traits", "m"))


def test_an_unknown_engine_is_refused_before_a_job_is_opened(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 10))
    with pytest.raises(UsageError, match="unknown name 'magic' in engines"):
        submit_profile(store, ExpertRow("ann", "magic", "ann"))
