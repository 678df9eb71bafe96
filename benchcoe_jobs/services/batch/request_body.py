"""A line of OpenAI's batch format, and the two bodies that it may have.

A field that would change an answer and that is not supported is refused, never ignored. A null says nothing and is
left out, and so are the values in `_DEFAULTS`, which are what happens without the field.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from benchcoe_jobs.domain import Decoding, Image, Message
from benchcoe_jobs.picture_files import sent_picture

_LARGEST_SEED = (1 << 63) - 1
_MOST_TOKENS = (1 << 31) - 1

_DEFAULTS: dict[str, list[Any]] = {
    "n": [1],
    "best_of": [1],
    "echo": [False],
    "suffix": [""],
    "stream": [False],
    "stream_options": [{}],
    "logprobs": [False],
    "top_logprobs": [0],
    "top_p": [1],
    "presence_penalty": [0],
    "frequency_penalty": [0],
    "logit_bias": [{}],
    "modalities": [["text"]],
    "response_format": [{"type": "text"}],
    "tool_choice": ["auto", "none"],  # without tools
    "function_call": ["auto", "none"],
    "parallel_tool_calls": [True, False],
    "verbosity": ["medium"],
    # The fields that vLLM's classes add.
    "top_k": [-1, 0],
    "min_p": [0],
    "min_tokens": [0],
    "repetition_penalty": [1],
    "length_penalty": [1],
    "use_beam_search": [False],
    "stop_token_ids": [[]],
    "allowed_token_ids": [[]],
    "bad_words": [[]],
    "ignore_eos": [False],
    "include_stop_str_in_output": [False],
    "skip_special_tokens": [True],
    "spaces_between_special_tokens": [True, False],
    "add_generation_prompt": [True],
    "continue_final_message": [False],
    "return_tokens_as_token_ids": [False],
    "return_token_ids": [False],
    "include_reasoning": [True],
}


def meaningful(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a body that say something. Raises RecursionError for a body that is nested too deep."""
    return {
        name: value
        for name, value in without_nulls(body).items()
        if not any(_same(value, default) for default in _DEFAULTS.get(name, ()))
    }


def without_nulls(value: Any) -> Any:
    """A JSON value without the fields of its objects that are null."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def _same(value: Any, default: Any) -> bool:
    """Equality of JSON, where 1 is not true."""
    return isinstance(value, bool) is isinstance(default, bool) and bool(value == default)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Text(_Strict):
    type: Literal["text"]
    text: str


class _Url(_Strict):
    url: str
    detail: Literal["auto", "low", "high"] | None = None

    @field_validator("url")
    @classmethod
    def _require_data_uri(cls, url: str) -> str:
        try:
            picture = sent_picture(url)
        except ValueError as error:
            raise ValueError("its base64 cannot be read") from error
        if picture is None:
            raise ValueError("an image must be a data:image/...;base64,... URI: no image is downloaded")
        return url


class _Image(_Strict):
    type: Literal["image_url"]
    image_url: _Url


_Part = Annotated[_Text | _Image, Field(discriminator="type")]


def _form(content: Any) -> str | None:
    """Which form the content of a message has. pydantic would otherwise report the faults of both."""
    return "text" if isinstance(content, str) else "parts" if isinstance(content, list | tuple) else None


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Annotated[str, Tag("text")] | Annotated[list[_Part], Tag("parts"), Field(min_length=1)],
        Discriminator(
            _form, custom_error_type="content", custom_error_message="Input should be a text, or a list of parts"
        ),
    ]
    name: str | None = None
    # Answers that are sent back as a part of the conversation have these.
    tool_calls: list[Any] = Field([], max_length=0)
    annotations: list[Any] = Field([], max_length=0)

    @property
    def message(self) -> Message:
        """The message as engines take it."""
        if isinstance(self.content, str):
            return Message(self.role, self.content, self.name)
        parts = tuple(part.text if isinstance(part, _Text) else _image(part.image_url) for part in self.content)
        return Message(self.role, parts, self.name)


def _image(url: _Url) -> Image:
    return Image(base64.b64decode(url.url.partition(",")[2]), url.detail)


class _Body(_Strict):
    """The fields of both kinds of body.

    `model` is ignored, because the router chooses. The fields after `stop` change no answer.
    """

    model: str | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=_MOST_TOKENS)
    seed: int | None = Field(None, ge=-_LARGEST_SEED - 1, le=_LARGEST_SEED)
    stop: str | list[str] = Field([], union_mode="left_to_right")
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    request_id: str | None = None
    priority: int | None = None
    cache_salt: str | None = None

    def decoding(self, *, chat: bool, limit: int | None) -> Decoding:
        """The decoding of a request with at most `limit` new tokens, see `Decoding`."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        return Decoding(
            max_new_tokens=limit,
            temperature=self.temperature,
            seed=self.seed,
            stop=tuple(string for string in stop if string),
            chat=chat,
        )


class ChatBody(_Body):
    """The body of a request to /v1/chat/completions."""

    messages: list[_Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, le=_MOST_TOKENS)

    @field_validator("messages")
    @classmethod
    def _require_a_question(cls, messages: list[_Message]) -> list[_Message]:
        if messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return messages


class PlainBody(_Body):
    """The body of a request to /v1/completions."""

    prompt: str


class BatchLine(_Strict):
    """A line of a submitted file; its body is validated after it."""

    custom_id: str = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: Literal["/v1/chat/completions", "/v1/completions"]
    body: dict[str, Any]

    @field_validator("custom_id")
    @classmethod
    def _require_storable(cls, custom_id: str) -> str:
        if "\0" in custom_id:
            raise ValueError("it contains the character NUL, which no database stores")
        return custom_id
