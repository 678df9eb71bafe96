"""What endpoints say if a request does not fit into the context of their model.

The wordings are those of OpenAI, vLLM, TGI, llama.cpp, SGLang and LiteLLM.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchcoe_jobs.engines.errors import RefusedError

_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|context (length|size|window)|too long|longer than the maximum"
    r"|input.{0,40}exceed|must be <=|reduce the length|too many (input )?tokens",
    re.IGNORECASE,
)
_LIMIT_TOO_LARGE = re.compile(
    r"max_(completion_)?tokens.{0,60}(too (large|high|big)|exceed|greater|must be (less|at most)|maximum|<=)"
    r"|at most \d+ (completion|output) tokens",
    re.IGNORECASE,
)
_LIMIT_MISSING = re.compile(r"max_tokens.{0,60}(required|missing)|missing.{0,60}max_tokens", re.IGNORECASE)
_CONTEXT = re.compile(r"context (?:length|size|window) (?:is|of) (\d{1,9})|must be <= (\d{1,9})", re.IGNORECASE)
_PROMPT = re.compile(
    r"(\d{1,9}) (?:in (?:the|your) (?:messages|prompt|input)|(?:input|prompt) tokens|tokens from the input)"
    r"|Given: (\d{1,9}) `inputs`",
    re.IGNORECASE,
)

_LONGEST, _SHORTEST = 1 << 16, 16


def is_too_long(error: RefusedError) -> bool:
    """Whether a request is refused because it does not fit into the context."""
    return error.status == 413 or _TOO_LONG.search(str(error)) is not None


def requires_limit(error: RefusedError) -> bool:
    """Whether a request is refused because it names no limit of tokens."""
    return _LIMIT_MISSING.search(str(error)) is not None


class Room:
    """Limits for an answer that may be as long as fits beside its prompt, where a request must name one.

    OpenAI's completions stop after 16 tokens without a limit, and vLLM's with them. The first limit is larger than most
    contexts; a refusal gives the numbers from which the next one follows, or else it is halved.
    """

    def __init__(self) -> None:
        self._refusals: list[str] = []

    def limits(self) -> Iterator[int]:
        """The limits to try, each after the refusal of the one before was noted."""
        limit = _LONGEST
        while limit >= _SHORTEST:
            yield limit
            named = self._named()
            if named is not None and named < limit:
                if named > 0:
                    yield named
                return
            limit //= 2

    def note(self, error: RefusedError) -> bool:
        """Note a refusal; whether a smaller limit may help against it."""
        self._refusals.append(str(error))
        return is_too_long(error) or _LIMIT_TOO_LARGE.search(str(error)) is not None

    def _named(self) -> int | None:
        """The room beside the prompt, if the last refusal gives the sizes of both."""
        text = self._refusals[-1] if self._refusals else ""
        context, prompt = _CONTEXT.search(text), _PROMPT.search(text)
        if context is None or prompt is None:
            return None
        return int(context[1] or context[2]) - int(prompt[1] or prompt[2])
