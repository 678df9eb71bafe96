"""Errors of loading and running an expert. They are sent from the engine server to its client by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from benchcoe_jobs.domain import Completion
from benchcoe_jobs.errors import BenchcoeError, MissingError, UsageError
from benchcoe_jobs.masking import first_line


class EngineError(BenchcoeError):
    """The engine failed. If nothing more specific is known, the message is that of the library.

    `answered` are the completions of a micro-batch that were there before the fault, by their position: they were paid
    for, and are stored before the run ends. `status` is the HTTP status of an endpoint's refusal, if there is one.
    """

    def __init__(
        self, message: str, *, status: int | None = None, answered: Mapping[int, Completion] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.answered: dict[int, Completion] = dict(answered or {})


class OutOfMemoryError(EngineError):
    """The model, or a single request, does not fit into the memory of the machine or the GPU."""


class ModelNotFoundError(EngineError):
    """The model, its revision or its tokenizer does not exist, or its files cannot be read."""


class ContextTooLongError(EngineError):
    """A request does not fit into the model's context, even without few-shot examples."""


class EngineExitedError(EngineError):
    """The engine server process exited during a request."""


class EngineTimeoutError(EngineExitedError):
    """The engine server process gave no answer in time and was ended."""


class AccessDeniedError(EngineError):
    """The endpoint refuses the API key, or the account has no credit left."""


class EndpointDownError(EngineError):
    """The endpoint gave no usable answer within the deadline, in spite of retries."""


class AnswerTimeoutError(EngineError):
    """The endpoint did not answer a request in time. It is not sent again, because it may have been charged for."""


class RefusedError(EngineError):
    """The endpoint understood a request and does not answer it (status 400, 413, 422, ...).

    `parameter` is the parameter that an error in OpenAI's format blames, None if it names none.
    """

    def __init__(self, message: str, *, status: int | None = None, parameter: str | None = None) -> None:
        super().__init__(message, status=status)
        self.parameter = parameter


FINAL = (ModelNotFoundError, AccessDeniedError, EndpointDownError)
"""Faults of the model, the account or the endpoint: a retry, or a smaller micro-batch, does not help."""


_BY_NAME: dict[str, type[BenchcoeError]] = {
    kind.__name__: kind
    for kind in (
        UsageError,
        MissingError,
        EngineError,
        OutOfMemoryError,
        ModelNotFoundError,
        ContextTooLongError,
        AccessDeniedError,
        EndpointDownError,
    )
}

# The messages of torch and vLLM where they raise no specific type.
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "no available memory",
    "free memory on device",
    "available kv cache memory",
)

_EXCEPTION = re.compile(r"\b(\w+(?:Error|Exception): .+)")


def named_error(name: str, message: str, printed: Iterable[str] = ()) -> BenchcoeError:
    """The error that the engine server sent under a name; unknown names become EngineError.

    The worker processes of vLLM only print their errors, and vLLM's exception refers to that output: the last
    exception in `printed` is then added to the message, and becomes an OutOfMemoryError if it is about memory.
    """
    if "root cause" in message and (causes := [found[1] for line in printed if (found := _EXCEPTION.search(line))]):
        message = f"{message.partition(' See root cause')[0].rstrip('.')}: {causes[-1][:500]}"
        if _is_about_memory(message):
            name = OutOfMemoryError.__name__
    return _BY_NAME.get(name, EngineError)(message)


def engine_error(error: Exception) -> BenchcoeError:
    """Any exception of a library as a BenchcoeError with a message of one line."""
    if isinstance(error, BenchcoeError):
        return error
    message = first_line(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _is_about_memory(str(error)):
        return OutOfMemoryError(f"out of memory: {message}")
    return EngineError(f"{type(error).__name__}: {message}")


def _is_about_memory(text: str) -> bool:
    return any(phrase in text.lower() for phrase in _NO_MEMORY)
