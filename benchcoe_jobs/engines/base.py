"""What every engine offers, and the settings of the expert that it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.errors import UsageError


@dataclass(frozen=True, slots=True)
class ExpertSettings:
    """How an expert is run.

    `model` is a folder, a hub id, or the name that an endpoint knows; `revision` a branch, tag or
    commit of a hub id. `dtype` is auto, float32, bfloat16 or float16; auto is float32 on CPUs and the
    checkpoint's own on GPUs. `max_model_len` (tokens) narrows the model's context. `batch_size` is
    how many sequences `transformers` computes, and how many requests `openai` keeps in flight, at
    once; vLLM schedules by itself. `timeout_s` bounds one HTTP exchange, `deadline_s` a request
    with all its retries. The API key itself is never a setting: `api_key_env` names the environment
    variable that holds it.
    """

    engine: str
    model: str
    revision: str | None = None
    dtype: str = "auto"
    max_model_len: int | None = None
    trust_remote_code: bool = False
    tensor_parallel: int = 1
    batch_size: int = 32
    base_url: str | None = None
    api_key_env: str | None = None
    timeout_s: float = 120.0
    deadline_s: float = 600.0

    def refuse(self, *names: str) -> None:
        """Raise UsageError where a setting that this engine cannot honour differs from its default."""
        plain = ExpertSettings(self.engine, self.model)
        for name in names:
            if getattr(self, name) != getattr(plain, name):
                raise UsageError(f"engine {self.engine} has no setting {name}")


class Engine(Protocol):
    """Loads one expert and answers batches. A plug-in of the group "engines" is a class like this.

    It lives in a host process (see `child`), so it may hold memory, threads and processes as it likes.
    """

    def load(self, settings: ExpertSettings) -> None:
        """Make the expert ready. Raises EngineError or one of its children, MissingError, UsageError."""

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """One completion per request, in order.

        A request that cannot be answered becomes a completion with finish_reason "error". Raises
        EngineError only for what concerns the whole batch.
        """

    def version(self) -> dict[str, str]:
        """What can change an answer, for a run's fingerprint: engine, libraries, model, revision, dtype.

        TrainingSet once the expert is loaded.
        """

    def close(self) -> None:
        """Free what `load` took. Harmless where nothing is loaded."""


@runtime_checkable
class ContinuousEngine(Engine, Protocol):
    """An engine that takes on a batch beside those under way, and would idle at the end of each without one."""

    ahead: int
    """How many batches it wants besides the one that is waited for."""

    def begin(self, requests: Sequence[Request], decoding: Decoding) -> Callable[[], list[Completion]]:
        """Take a batch on. What comes back waits for its completions; both are as `run`, and raise as it does."""
