"""OpenAI's batch format: a line of a submitted file, and the line that answers it.

Source: OpenAI's API reference, "MicroBatch", the request input object and the request output object. What would
change an answer and is not honoured here is refused, never dropped in silence.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchcoe_jobs.domain import Decoding, Request, RouterInput
from benchcoe_jobs.errors import InputError

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"

RESULT_ID = "batch_req_"
"""How the id of every line of results begins."""

MOST_LINES = 50_000
MOST_BYTES = 200 << 20
"""OpenAI's own limits."""

_FAULTS_SHOWN = 20
_DATA_URI = "data:image/"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Text(_Strict):
    type: Literal["text"]
    text: str


class _Url(_Strict):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"

    @field_validator("url")
    @classmethod
    def _carries_its_picture(cls, url: str) -> str:
        head, _, content = url.partition(";base64,")
        if not head.startswith(_DATA_URI) or not content:
            raise ValueError("an image must come as data:image/...;base64,...: nothing is fetched")
        try:
            base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise ValueError("its base64 cannot be read") from error
        return url


class _Image(_Strict):
    type: Literal["image_url"]
    image_url: _Url


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[_Text | _Image, Field(discriminator="type")]]
    name: str | None = None

    @property
    def text(self) -> str:
        """Its text, without images."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, _Text))

    @property
    def images(self) -> tuple[bytes, ...]:
        """Its images, as files."""
        parts = [] if isinstance(self.content, str) else self.content
        urls = [part.image_url.url for part in parts if isinstance(part, _Image)]
        return tuple(base64.b64decode(url.partition(",")[2]) for url in urls)


class _Body(_Strict):
    """What both kinds of body may say. `model` is the router's to choose; `user` and the like change no answer."""

    model: str | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = Field(None, ge=1)
    n: Literal[1] = 1
    stream: Literal[False] = False
    top_p: Literal[1] | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None

    def decoding(self, *, chat: bool, limit: int | None) -> Decoding:
        """How an engine is to answer; without a limit, as long as `Decoding` has it."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Decoding(
            max_new_tokens=limit or Decoding().max_new_tokens,
            temperature=self.temperature,
            seed=self.seed or 0,
            stop=tuple(stop),
            chat=chat,
        )


class _ChatBody(_Body):
    messages: list[_Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> _ChatBody:
        if self.messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        if any(message.images for message in self.messages[:-1]):
            raise ValueError("only the last message may have images")
        return self


class _PlainBody(_Body):
    prompt: str


class _Line(_Strict):
    custom_id: str = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: Literal["/v1/chat/completions", "/v1/completions"]
    body: dict[str, Any]


_BODIES: dict[str, type[_ChatBody | _PlainBody]] = {CHAT: _ChatBody, PLAIN: _PlainBody}


def read_lines(path: Path) -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    """(line number, custom_id, url, body) of every line of a file, once the whole file was found to be right.

    Raises InputError naming every line at fault, or as many as fit.
    """
    lines: list[tuple[int, str, str, dict[str, Any]]] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(_texts(path), 1):
        if not text.strip():
            continue
        try:
            line = _Line.model_validate(json.loads(text))
            _BODIES[line.url].model_validate(line.body)
            if line.custom_id in seen:
                raise ValueError(f"custom_id {line.custom_id!r} stands in line {seen[line.custom_id]} already")
        except ValidationError as error:
            faults.append(f"line {number}: {_first_fault(error)}")
        except (ValueError, RecursionError) as error:
            faults.append(f"line {number}: {error if not isinstance(error, json.JSONDecodeError) else 'no JSON'}")
        else:
            seen[line.custom_id] = number
            lines.append((number, line.custom_id, line.url, line.body))
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} more lines" if len(faults) > _FAULTS_SHOWN else ""
        raise InputError(f"{path}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}")
    if not 0 < len(lines) <= MOST_LINES:
        raise InputError(f"{path} has {len(lines)} requests: 1 to {MOST_LINES} are taken")
    return iter(lines)


def router_input(url: str, body: Mapping[str, Any]) -> RouterInput:
    """What a router reads of a request: the last message, or the prompt."""
    parsed = _BODIES[url].model_validate(body)
    return RouterInput(parsed.messages[-1].text if isinstance(parsed, _ChatBody) else parsed.prompt)


def engine_request(url: str, body: Mapping[str, Any]) -> tuple[Request, Decoding]:
    """What an engine is asked."""
    parsed = _BODIES[url].model_validate(body)
    if isinstance(parsed, _PlainBody):
        return Request(parsed.prompt), parsed.decoding(chat=False, limit=parsed.max_tokens)
    *before, last = parsed.messages
    turns = tuple((message.role, message.text) for message in before)
    limit = parsed.max_completion_tokens or parsed.max_tokens
    return Request(last.text, turns=turns, images=last.images), parsed.decoding(chat=True, limit=limit)


def answer_line(
    job_id: int,
    number: int,
    custom_id: str,
    url: str,
    *,
    text: str,
    finish_reason: str | None,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    created: int,
    expert: str,
    why: str | None,
) -> dict[str, Any]:
    """The output object of an answered request; `benchcoe` in its body says who was asked and why."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}
    if url == CHAT:
        choice["message"] = {"role": "assistant", "content": text}
    else:
        choice["text"] = text
    body = {
        "id": f"cmpl-{job_id}-{number}",
        "object": "chat.completion" if url == CHAT else "text_completion",
        "created": created,
        "model": expert,
        "choices": [choice],
        "usage": {
            "prompt_tokens": prompt_tokens or 0,
            "completion_tokens": completion_tokens or 0,
            "total_tokens": (prompt_tokens or 0) + (completion_tokens or 0),
        },
        "benchcoe": {"expert": expert, "why": why},
    }
    name = f"{RESULT_ID}{job_id}_{number}"
    response = {"status_code": 200, "request_id": name, "body": body}
    return {"id": name, "custom_id": custom_id, "response": response, "error": None}


def error_line(
    job_id: int, number: int, custom_id: str, *, message: str, expert: str | None, why: str | None
) -> dict[str, Any]:
    """The output object of a request that could not be answered."""
    error = {"code": "not_answered", "message": message, "benchcoe": {"expert": expert, "why": why}}
    return {"id": f"{RESULT_ID}{job_id}_{number}", "custom_id": custom_id, "response": None, "error": error}


def _texts(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} has more than {MOST_BYTES >> 20} MiB: submit it in parts")
        return path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}") from error


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
