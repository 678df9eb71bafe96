"""OpenAI's batch format: the lines of a submitted file, and the lines that answer them.

Source: OpenAI's API reference, "Batch", the request input object and the request output object.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from benchcoe_jobs.domain import Decoding, Request, RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.files import open_readable
from benchcoe_jobs.json_text import repeated_name
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.services.batch.request_body import BatchLine, ChatBody, PlainBody, meaningful

Validated = TypeVar("Validated", bound=BaseModel)

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"

RESULT_ID = "batch_req_"
"""The beginning of the id of each line of results."""

MOST_LINES = 50_000
MOST_BYTES = 200 << 20
"""OpenAI's limits for a file."""

_FAULTS_SHOWN = 20
_LONGEST_FAULT = 300
_LONGEST_KEY = 50
_MOST_DIGITS = 100

_BODIES: dict[str, type[ChatBody | PlainBody]] = {CHAT: ChatBody, PLAIN: PlainBody}

# pydantic's words name Python's types.
_WORDS = {
    "extra_forbidden": "is not supported, and could change the answer",
    "missing": "is missing",
    "model_type": "must be an object",
    "dict_type": "must be an object",
}


class SubmittedLine(NamedTuple):
    """A line of a submitted file. `body` is the request as it was written, and is known to be right."""

    number: int
    custom_id: str
    url: str
    body: dict[str, Any]


def read_lines(path: Path) -> list[SubmittedLine]:
    """The lines of a file, after all of them were validated; blank lines are left out.

    Raises InputError if the file cannot be read, or if a line is wrong; the message names the first 20 wrong lines,
    each with the place of its fault.
    """
    lines: list[SubmittedLine] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(_texts(path), 1):
        if not text.strip():
            continue
        try:
            line = _read_line(number, text)
            if line.custom_id in seen:
                raise ValueError(f"custom_id {line.custom_id!r} is that of line {seen[line.custom_id]} already")
        except ValueError as error:
            faults.append(f"line {number}: {str(error)[:_LONGEST_FAULT]}")
        else:
            seen[line.custom_id] = number
            lines.append(line)
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} more lines" if len(faults) > _FAULTS_SHOWN else ""
        raise InputError(f"{path}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}")
    if not 0 < len(lines) <= MOST_LINES:
        raise InputError(f"{path} has {len(lines)} requests: a file must have 1 to {MOST_LINES}")
    return lines


def _read_line(number: int, text: str) -> SubmittedLine:
    """A validated line. Raises ValueError with the place of the fault in it."""
    try:
        row = json.loads(text, parse_int=_whole, parse_constant=_no_constant, object_pairs_hook=_unique)
        if not isinstance(row, dict):
            raise ValueError("a line must be a JSON object")
        line = _validate(BatchLine, row, row, "")
        _validate(_BODIES[line.url], meaningful(line.body), line.body, "body")
    except json.JSONDecodeError as error:
        raise ValueError("not JSON") from error
    except RecursionError as error:
        raise ValueError("JSON that is nested too deep") from error
    return SubmittedLine(number, line.custom_id, line.url, line.body)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is too long")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises ValueError for a key that occurs twice: one of its values would be dropped."""
    if (twice := repeated_name(pairs)) is not None:
        raise ValueError(f"the key {_shown(twice)} occurs twice in an object")
    return dict(pairs)


def _validate(model: type[Validated], value: Mapping[str, Any], as_written: Mapping[str, Any], place: str) -> Validated:
    """`value` as a model. Raises ValueError with the place of a fault in `as_written`, which has more fields."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        first = next((fault for fault in faults if fault["type"] == "value_error"), faults[0])  # ours say what to do
        where = _path(first["loc"], as_written, place)
        what = _WORDS.get(first["type"], first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        raise ValueError(f"{where}: {what}") from error


def _path(loc: tuple[int | str, ...], value: Any, place: str) -> str:
    """The JSON path of a fault, as in `body.messages[0].content`, without the names that pydantic gives to unions."""
    for step in loc:
        if isinstance(value, list) and isinstance(step, int):
            place, value = f"{place}[{step}]", value[step]
        elif isinstance(value, dict) and isinstance(step, str) and (step in value or step == loc[-1]):
            name = f".{step}" if step.isidentifier() and len(step) <= _LONGEST_KEY else f"[{_shown(step)}]"
            place, value = f"{place}{name}", value.get(step)
    return place.removeprefix(".")


def _shown(key: str) -> str:
    return json.dumps(key[:_LONGEST_KEY])


def router_input(url: str, body: Mapping[str, Any]) -> RouterInput:
    """The input of a router: the text of the last message and the pictures of all, or the prompt.

    `body` was validated when it was submitted, and is not parsed again: only this is read.
    """
    if url == PLAIN:
        return RouterInput(body["prompt"])
    urls = image_urls(body)
    pictures = tuple(Picture.of(base64.b64decode(url.partition(",")[2])) for url in urls)
    last = body["messages"][-1]["content"]
    text = last if isinstance(last, str) else "\n".join(part["text"] for part in last if part["type"] == "text")
    return RouterInput(text, pictures=pictures)


def image_urls(body: Mapping[str, Any]) -> list[str]:
    """The data URIs of all pictures of a validated body, in order."""
    contents = (message["content"] for message in body.get("messages", []))
    parts = (part for content in contents if isinstance(content, list) for part in content)
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def engine_request(url: str, body: Mapping[str, Any], seed: int | None = None) -> tuple[Request, Decoding]:
    """The request to an engine, and how it is to be decoded. `seed` is that of sampling if the body has none."""
    parsed = _BODIES[url].model_validate(meaningful(body))
    if isinstance(parsed, PlainBody):
        return Request(parsed.prompt, seed=seed), parsed.decoding(chat=False, limit=parsed.max_tokens)
    messages = tuple(message.message for message in parsed.messages)
    limit = parsed.max_completion_tokens or parsed.max_tokens
    request = Request(messages[-1].text, messages=messages, seed=seed)
    return request, parsed.decoding(chat=True, limit=limit)


def sent_on_only(body: Mapping[str, Any]) -> str | None:
    """The place of the first field of a validated body that only some engines take (`EngineTraits.sends_messages`).

    These are the name of a message's author, and a level of detail of an image other than the default. None if there
    is none.
    """
    for number, message in enumerate(body.get("messages", [])):
        if message.get("name") is not None:
            return f"body.messages[{number}].name"
        for position, part in enumerate(message["content"] if isinstance(message["content"], list) else []):
            if part["type"] == "image_url" and part["image_url"].get("detail") not in (None, "auto"):
                return f"body.messages[{number}].content[{position}].image_url.detail"
    return None


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
    """The lines of a file. It may be a pipe, which has no size before it was read."""
    try:
        with open_readable(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES >> 20} MiB: submit it in parts")
    try:
        return content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}") from error
