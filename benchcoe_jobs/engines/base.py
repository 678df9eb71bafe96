"""The interface of an engine, and the settings of the expert that it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.errors import UsageError


@dataclass(frozen=True, slots=True)
class ExpertSettings:
    """How an expert is run.

    `model` is a folder, a hub id, or the name that an endpoint uses; `revision` is a branch, tag or commit of a hub
    id. `dtype` is auto, float32, bfloat16 or float16; auto is float32 on CPUs and the checkpoint's dtype on GPUs.
    `max_model_len` limits the model's context, in tokens. `batch_size` is the number of sequences that `transformers`
    computes together, and of requests that `openai` has open at the same time; vLLM schedules its own batches.
    The API key is never a setting: `api_key_env` names the environment variable that holds it.

    Settings of endpoints: `timeout_s` bounds one HTTP exchange, `deadline_s` the time in which a request is retried.
    `api` says where requests are sent: `chat` only to chat/completions, a plain prompt as a message of the user;
    `completions` only to completions; `auto` to either by their form, and plain prompts to chat/completions if the
    model has no completions. `no_temperature`: the model is asked without a temperature. `accept_model` are names, or
    patterns as in fnmatch, of other models whose answers count as those of `model`.

    `reasoning` is `strip` or `keep`: whether the thoughts of a model are cut from its answers.
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
    timeout_s: float = 600.0
    deadline_s: float = 600.0
    api: str = "auto"
    no_temperature: bool = False
    accept_model: tuple[str, ...] = ()
    reasoning: str = "strip"

    def __post_init__(self) -> None:
        object.__setattr__(self, "accept_model", tuple(self.accept_model))  # JSON has no tuples

    @property
    def keeps_reasoning(self) -> bool:
        """Whether the thoughts of the model stay in its answers."""
        return self.reasoning == "keep"

    def require_default(self, *names: str) -> None:
        """Raise UsageError if one of these settings, which the engine does not support, is not the default."""
        defaults = ExpertSettings(self.engine, self.model)
        for name in names:
            if getattr(self, name) != getattr(defaults, name):
                raise UsageError(f"engine {self.engine} has no setting {name}")


ENDPOINT_SETTINGS = ("base_url", "api_key_env", "timeout_s", "deadline_s", "api", "no_temperature", "accept_model")
"""The settings that only an engine behind an endpoint has."""


@dataclass(frozen=True, slots=True)
class EngineTraits:
    """What the scheduling of shards depends on; it is known without loading the engine.

    `needs_gpu`: shards wait in the queue `gpu` if true, in `cpu` otherwise. `micro_batch` is the number of requests
    that the engine is given in one call and that one commit holds. `schedules_itself`: the engine runs micro-batches
    together and idles at the end of each shard, so that its shards should be long. `sends_messages`: the engine sends
    messages on as they are, with the name of their author and the level of detail of their images; others have no
    place for these, and files that contain them are refused. `opens_folders`: the expert's model may be a
    folder, which is then stored with its absolute path.
    """

    needs_gpu: bool = True
    micro_batch: int = 64
    schedules_itself: bool = False
    sends_messages: bool = False
    opens_folders: bool = False


class Engine(Protocol):
    """Loads one expert and answers micro-batches. A plug-in of the group "engines" is a class like this.

    It is instantiated in an engine server process (see `engine_server`), so it may use memory, threads and processes
    freely. `traits` is required, and is read from the class on machines where the engine's library may be missing:
    the module must not import the library at the top.
    """

    traits: EngineTraits

    def load(self, settings: ExpertSettings) -> None:
        """Load the expert. Raises EngineError or a subclass, MissingError, UsageError."""

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        """Return one completion per request, in order.

        A request that cannot be answered becomes a completion with finish_reason "error". Raises EngineError only for
        what concerns the whole micro-batch.
        """

    def version(self) -> dict[str, str]:
        """Return all that can change an answer, for a run's fingerprint: engine, libraries, model, revision, dtype.

        Available once the expert is loaded.
        """

    def close(self) -> None:
        """Free what `load` allocated. Does nothing if no expert is loaded."""


@runtime_checkable
class ContinuousEngine(Engine, Protocol):
    """An engine that accepts a micro-batch while others are pending, and would idle between them otherwise."""

    prefetch: int
    """The number of micro-batches that it takes besides the one that is waited for."""

    def submit(self, requests: Sequence[Request], decoding: Decoding) -> Callable[[], list[Completion]]:
        """Accept a micro-batch; the function returned waits for its completions. Both raise as `run` does."""
