"""The messages of a request: in order, in each form, and over the wire to an engine server."""

from __future__ import annotations

import base64
import json

import pytest

from benchcoe_jobs.domain import Image, Message, Request
from benchcoe_jobs.engines.errors import EngineError
from benchcoe_jobs.engines.messages import endpoint_messages, processor_messages, template_messages
from benchcoe_jobs.engines.wire import pack_request, unpack_request

RED, BLUE = b"\x89PNG red", b"\xff\xd8\xff blue"
TALK = (
    Message("system", "be brief"),
    Message("user", ("Before:", Image(RED, "low"), "after:", Image(BLUE), "what was mended?"), "Ann"),
)
CONVERSATION = Request("what was mended?", messages=TALK, seed=5)
BENCHMARK = Request("Look", preamble="Say.", shots=(" One.", " Two."), images=(RED, BLUE))


def url(kind: str, file: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


def test_an_endpoint_gets_the_parts_in_their_order_with_name_and_detail() -> None:
    assert endpoint_messages(CONVERSATION, 0) == [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Before:"},
                {"type": "image_url", "image_url": {"url": url("png", RED), "detail": "low"}},
                {"type": "text", "text": "after:"},
                {"type": "image_url", "image_url": {"url": url("jpeg", BLUE)}},
                {"type": "text", "text": "what was mended?"},
            ],
            "name": "Ann",
        },
    ]


def test_a_processor_gets_the_parts_in_their_order() -> None:
    _, message = processor_messages(CONVERSATION, 0, ["red", "blue"])
    assert [part.get("text", part.get("image")) for part in message["content"]] == [
        "Before:",
        "red",
        "after:",
        "blue",
        "what was mended?",
    ]


def test_the_images_of_a_prompt_are_before_its_text() -> None:
    [message] = processor_messages(BENCHMARK, 1, ["red", "blue"])
    assert [part.get("text", part.get("image")) for part in message["content"]] == ["red", "blue", "Say. One.Look"]
    [sent] = endpoint_messages(BENCHMARK, 0)
    assert [part["type"] for part in sent["content"]] == ["image_url", "image_url", "text"]
    assert BENCHMARK.image_files == CONVERSATION.image_files == (RED, BLUE)


def test_a_template_gets_texts() -> None:
    assert template_messages(Request("x\ud800"), 0) == [{"role": "user", "content": "x?"}]
    parts = Request(messages=(Message("user", ("one", "two")),))
    assert template_messages(parts, 0) == [{"role": "user", "content": "one\ntwo"}]
    assert endpoint_messages(parts, 0)[0]["content"] == [{"type": "text", "text": word} for word in ("one", "two")]


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(EngineError, match="neither PNG"):
        endpoint_messages(Request(messages=(Message("user", (Image(b"<svg>"),)),)), 0)


@pytest.mark.parametrize("request_", [CONVERSATION, BENCHMARK, Request("x", continuations=("a",))])
def test_a_request_is_the_same_after_the_wire(request_: Request) -> None:
    assert unpack_request(json.loads(json.dumps(pack_request(request_)))) == request_
