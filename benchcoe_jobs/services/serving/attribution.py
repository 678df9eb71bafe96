"""Say in an answer who gave it: in the body, in each event of a stream, and in headers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from benchcoe_jobs.engines.endpoints.answers import count
from benchcoe_jobs.services.routing.decider import Choice

_LONGEST_LINE = 32 << 20


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who answers, and why: `choice` and `decision_id` are None if the client named the expert.

    `failed` is the expert in whose place a substitute answers.
    """

    expert: str
    router: str | None = None
    decision_id: str | None = None
    choice: Choice | None = None
    chosen_by: str = "client"
    failed: str | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        """The object `benchcoe` of a body."""
        choice = self.choice
        return {
            "router": self.router,
            "expert": self.expert,
            "decision_id": self.decision_id,
            "confidence": None if choice is None else choice.confidence,
            "familiarity": None if choice is None else choice.familiarity,
            "subject": None if choice is None else choice.subject,
            "fallback": None if choice is None else choice.fell_back,
            "chosen": None if choice is None else choice.expert,
            "chosen_by": self.chosen_by,
            "substitute_for": self.failed,
        }

    @property
    def headers(self) -> dict[str, str]:
        """The same in headers; those of vLLM semantic-router have the names of its documentation, vsr-headers.md."""
        values: dict[str, Any] = {
            "selected-model": self.expert,
            "router": self.router,
            "decision-id": self.decision_id,
            "chosen-by": self.chosen_by,
            "substitute-for": self.failed,
        }
        foreign: dict[str, Any] = {"selected-model": self.expert}
        if self.choice is not None:
            confidence = f"{self.choice.confidence:.4f}"
            values |= {"confidence": confidence, "subject": self.choice.subject}
            values["fallback"] = "true" if self.choice.fell_back else "false"
            foreign |= {
                "selected-category": self.choice.subject,
                "selected-confidence": confidence,
                "selected-algorithm": self.router,
            }
        named = {f"x-benchcoe-{name}": value for name, value in values.items()}
        named |= {f"x-vsr-{name}": value for name, value in foreign.items()}
        return {name: _header(value) for name, value in named.items() if value is not None}

    def mark(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer with the name of its expert, and with the decision if there was one."""
        answer["model"] = self.expert
        if self.choice is not None:
            answer["benchcoe"] = self.as_json
        return answer


@dataclass
class Usage:
    """The tokens that an endpoint counted, and whether a stream ended as it should."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    failure: str | None = field(default=None)

    def read(self, answer: dict[str, Any]) -> None:
        """Take the counts of an answer or of an event, if it has some."""
        usage = answer.get("usage")
        if isinstance(usage, dict):
            self.prompt_tokens = count(usage.get("prompt_tokens"))
            self.completion_tokens = count(usage.get("completion_tokens"))


async def marked_events(parts: AsyncIterator[bytes], attribution: Attribution, usage: Usage) -> AsyncIterator[bytes]:
    """The lines of a stream of events, each event marked. What is no JSON object is passed on as it is.

    Raises ValueError for a line of more than 32 MiB.
    """
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ValueError("a line of the stream is longer than 32 MiB")
        if lines:
            yield b"".join(_marked_line(line, attribution, usage) + b"\n" for line in lines)
    if rest:
        yield _marked_line(rest, attribution, usage)


def _marked_line(line: bytes, attribution: Attribution, usage: Usage) -> bytes:
    if not line.startswith(b"data:"):
        return line
    try:
        event = json.loads(line[len(b"data:") :])
    except (ValueError, RecursionError):  # [DONE]
        return line
    if not isinstance(event, dict):
        return line
    usage.read(event)
    if event.get("error"):
        usage.failure = "the stream ended with an error"
    return b"data: " + json.dumps(attribution.mark(event), separators=(",", ":")).encode()


def _header(value: Any) -> str:
    """A value of a header: printable ASCII, other characters as in a URL."""
    return quote(str(value), safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")
