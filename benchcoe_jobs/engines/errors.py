"""What can go wrong while an expert is loaded or asked; every error crosses the pipe by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from benchcoe_jobs.errors import BenchcoeError, MissingError, UsageError


class EngineError(BenchcoeError):
    """The engine failed. Where nothing more special is known, the message is the library's own."""


class OutOfMemoryError(EngineError):
    """The model, or one request alone, does not fit into the memory of the machine or the GPU."""


class ModelNotFoundError(EngineError):
    """There is no such model, revision or tokenizer, or its files cannot be read."""


class ContextTooLongError(EngineError):
    """A request does not fit into the model's context, even without few-shot examples."""


class EngineDiedError(EngineError):
    """The host process ended in the middle of its work."""


class EngineTimeoutError(EngineDiedError):
    """The host process gave no answer in time and was ended."""


class AccessDeniedError(EngineError):
    """The endpoint refuses the API key."""


class EndpointDownError(EngineError):
    """The endpoint answered no request of a batch within the deadline."""


class RefusedError(EngineError):
    """The endpoint understood a request and will not answer it (status 400, 413, 422, ...)."""


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

# How torch and vLLM say it where they have no type of their own for it.
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
    """The error that came through the pipe under a name; unknown names become EngineError.

    vLLM's own processes only print why they failed, and its error says to look above: the last
    exception in `printed` is then added, and may turn out to be one of memory.
    """
    if "root cause" in message and (causes := [found[1] for line in printed if (found := _EXCEPTION.search(line))]):
        message = f"{message.partition(' See root cause')[0].rstrip('.')}: {causes[-1][:500]}"
        if _tells_of_memory(message):
            name = OutOfMemoryError.__name__
    return _BY_NAME.get(name, EngineError)(message)


def engine_error(error: Exception) -> BenchcoeError:
    """Any exception of a library as one of ours, its message in one line."""
    if isinstance(error, BenchcoeError):
        return error
    message = first_line(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _tells_of_memory(str(error)):
        return OutOfMemoryError(f"out of memory: {message}")
    return EngineError(f"{type(error).__name__}: {message}")


def _tells_of_memory(text: str) -> bool:
    return any(sign in text.lower() for sign in _NO_MEMORY)


def first_line(error: Exception) -> str:
    """What an exception says, in one line of at most 500 characters; of pydantic's, the line that says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and "validation error" in lines[0]:
        del lines[0]
    return (lines[0] if lines else type(error).__name__)[:500].rstrip(".")
