"""The parameters that a model takes, learned from its refusals.

OpenAI's reasoning models take neither `max_tokens` (but `max_completion_tokens`) nor a temperature nor stop strings;
models of other providers refuse one of them, or a seed. Every request that was sent with a refused parameter is sent
once more without it, also if others under way with it have shown the same before.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from benchcoe_jobs.engines.errors import RefusedError

LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"

_OPTIONAL = ("temperature", "stop", "seed")

# The parameter is not taken at all, or with its default alone. A value out of range is a fault of the request.
_UNSUPPORTED = re.compile(
    r"unsupported|n[o']t support|no longer support|not (?:allowed|permitted|accepted|available)|deprecated|unknown"
    r"|unrecogni[sz]ed|unexpected|extra (?:inputs|fields)|only the default|only 1(?:\.0)? |must be 1(?:\.0)?(?![.\d])"
    r"|cannot be (?:used|set|specified)|incompatible|instead",
    re.IGNORECASE,
)

# "stop" is also a word of English.
_NAMED = {
    "stop": r"['\"`\[\s]stop(?:['\"`\]]|\s*\Z|[.;,] |_sequences?| (?:parameter|argument|sequences?|strings?|is |not ))",
    "seed": r"\bseed\b",
    "temperature": r"\btemperature\b",
    LIMIT: rf"\b{LIMIT}\b",
}


class Parameters:
    """What one model takes. `refused` are the names of the parameters that are not sent."""

    def __init__(self, *, no_temperature: bool) -> None:
        self.refused: set[str] = {"temperature"} if no_temperature else set()

    async def send(
        self, post: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]], body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The answer to a body, with the parameters that the model takes. Raises what `post` raises."""
        while True:
            sent = self.taken(body)
            try:
                return await post(sent)
            except RefusedError as error:
                if not (blamed := _blamed(error, sent)):
                    raise
                self.refused.update(blamed)

    def taken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body without refused parameters, and with the name of the limit that the model takes."""
        taken = {name: value for name, value in body.items() if name not in self.refused}
        if LIMIT in body and LIMIT in self.refused:
            taken[_NEW_LIMIT] = body[LIMIT]
        return taken


def _blamed(error: RefusedError, sent: Mapping[str, Any]) -> list[str]:
    """The sent parameters that a refusal calls unsupported."""
    text = str(error)
    if _UNSUPPORTED.search(text) is None:
        return []
    blamed = [name for name in _OPTIONAL if name in sent and _is_named(name, error)]
    # The limit is never left out: only a refusal that mentions its new name renames it.
    return [*blamed, LIMIT] if LIMIT in sent and _NEW_LIMIT in text and _is_named(LIMIT, error) else blamed


def _is_named(name: str, error: RefusedError) -> bool:
    return error.parameter == name or re.search(_NAMED[name], str(error), re.IGNORECASE) is not None
