"""The queue and the GPUs that an expert's shards need, from the traits of its engine."""

from __future__ import annotations

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings
from benchcoe_jobs.errors import UsageError


def placement(settings: ExpertSettings) -> tuple[Queue, int]:
    """The queue that an expert's shards wait in, and the number of GPUs that a worker must have for them.

    The number is 0 for a model that fits on one GPU: a worker without a GPU runs it on the CPU.
    """
    if not engine_traits(settings.engine).needs_gpu:
        return Queue.CPU, 0
    return Queue.GPU, settings.tensor_parallel if settings.tensor_parallel > 1 else 0


def engine_traits(engine: str) -> EngineTraits:
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
