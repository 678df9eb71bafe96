"""OpenAI's batch format: the lines of a submitted file, and the lines that answer them.

Source: OpenAI's API reference, "Batch", the request input object and the request output object. A field that would
change an answer and that is not supported is refused, never ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchcoe_jobs.domain import Decoding, Request, RouterInput
from benchcoe_jobs.errors import InputError

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"

RESULT_ID = "batch_req_"
"""The beginning of the id of each line of results."""

MOST_LINES = 50_000
MOST_BYTES = 200 << 20
"""OpenAI's limits for a file."""

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
    def _require_data_uri(cls, url: str) -> str:
        head, _, content = url.partition(";base64,")
        if not head.startswith(_DATA_URI) or not content:
            raise ValueError("an image must be a data:image/...;base64,... URI: no image is downloaded")
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
        """The text of the message, without images."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, _Text))

    @property
    def images(self) -> tuple[bytes, ...]:
        """The images of the message, as encoded files."""
        parts = [] if isinstance(self.content, str) else self.content
        urls = [part.image_url.url for part in parts if isinstance(part, _Image)]
        return tuple(base64.b64decode(url.partition(",")[2]) for url in urls)


class _Body(_Strict):
    """The fields of both kinds of body. `model` is ignored, because the router chooses; `user` changes no answer."""

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
        """The decoding of a request; without a `limit` of tokens, that of `Decoding` holds."""
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
    def _require_a_question(self) -> _ChatBody:
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


class SubmittedLine(NamedTuple):
    """A line of a submitted file. `body` is the request as it was written, and is known to be right."""

    number: int
    custom_id: str
    url: str
    body: dict[str, Any]


def read_lines(path: Path) -> list[SubmittedLine]:
    """The lines of a file, after all of them were validated; blank lines are left out.

    Raises InputError if the file cannot be read, or if a line is wrong; the message names the first 20 wrong lines.
    """
    lines: list[SubmittedLine] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(_texts(path), 1):
        if not text.strip():
            continue
        try:
            line = _Line.model_validate(json.loads(text))
            _BODIES[line.url].model_validate(line.body)
            if line.custom_id in seen:
                raise ValueError(f"custom_id {line.custom_id!r} is that of line {seen[line.custom_id]} already")
        except ValidationError as error:
            faults.append(f"line {number}: {_first_fault(error)}")
        except (ValueError, RecursionError) as error:
            faults.append(f"line {number}: {error if not isinstance(error, json.JSONDecodeError) else 'not JSON'}")
        else:
            seen[line.custom_id] = number
            lines.append(SubmittedLine(number, line.custom_id, line.url, line.body))
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} more lines" if len(faults) > _FAULTS_SHOWN else ""
        raise InputError(f"{path}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}")
    if not 0 < len(lines) <= MOST_LINES:
        raise InputError(f"{path} has {len(lines)} requests: a file must have 1 to {MOST_LINES}")
    return lines


def router_input(url: str, body: Mapping[str, Any]) -> RouterInput:
    """The input of a router: the text of the last message, or the prompt.

    `body` was validated when it was submitted, and is not parsed again: only this text is read.
    """
    if url == PLAIN:
        return RouterInput(body["prompt"])
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return RouterInput(content)
    return RouterInput("\n".join(part["text"] for part in content if part["type"] == "text"))


def engine_request(url: str, body: Mapping[str, Any]) -> tuple[Request, Decoding]:
    """The request to an engine, and how it is to be decoded."""
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
    """The output object of an answered request; `benchcoe` in its body has the expert and the reason for it."""
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
    """The output object of a request without an answer."""
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
    faults = error.errors()
    first = next((fault for fault in faults if fault["type"] == "value_error"), faults[0])  # ours say what to do
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
