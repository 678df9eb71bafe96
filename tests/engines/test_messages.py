"""The messages of a request: in order, in each form, and over the wire to an engine server."""

from __future__ import annotations

import base64
import json
import socket
import threading

import pytest
import tiny

from benchcoe_jobs.domain import Image, Message, Request
from benchcoe_jobs.engines.messages import endpoint_messages, processor_messages, sent_images, template_messages
from benchcoe_jobs.engines.wire import Channel, pack_request, unpack_request
from benchcoe_jobs.errors import InputError

RED, BLUE = tiny.picture(250), tiny.picture(5, "JPEG")
TALK = (
    Message("system", "be brief"),
    Message("user", ("Before:", Image(RED, "low"), "after:", Image(BLUE), "what was mended?"), "Ann"),
)
CONVERSATION = Request("what was mended?", messages=TALK, seed=5)
BENCHMARK = Request("Look", preamble="Say.", shots=(" One.", " Two."), images=(RED, BLUE))


def url(kind: str, file: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


def test_an_endpoint_gets_the_parts_in_their_order_with_name_and_detail() -> None:
    assert endpoint_messages(CONVERSATION, 0, sent_images(CONVERSATION)) == [
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
    [sent] = endpoint_messages(BENCHMARK, 0, sent_images(BENCHMARK))
    assert [part["type"] for part in sent["content"]] == ["image_url", "image_url", "text"]
    assert BENCHMARK.image_files == CONVERSATION.image_files == (RED, BLUE)


def test_a_template_gets_texts() -> None:
    assert template_messages(Request("x\ud800"), 0) == [{"role": "user", "content": "x?"}]
    parts = Request(messages=(Message("user", ("one", "two")),))
    assert template_messages(parts, 0) == [{"role": "user", "content": "one\ntwo"}]
    assert endpoint_messages(parts, 0, [])[0]["content"] == [{"type": "text", "text": word} for word in ("one", "two")]


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(InputError, match="it is none of PNG"):
        sent_images(Request(messages=(Message("user", (Image(b"<svg>"),)),)))


@pytest.mark.parametrize("request_", [CONVERSATION, BENCHMARK, Request("x", continuations=("a",))])
def test_a_request_is_the_same_after_the_wire(request_: Request) -> None:
    files: list[bytes] = []
    packed = pack_request(request_, files)
    assert unpack_request(json.loads(json.dumps(packed)), files) == request_


def test_the_files_of_a_message_follow_it() -> None:
    """Also an empty one, line feeds in one, and one that is longer than what is received at once."""
    files = [b"", b"a\nb\n", b"\n" * 3_000_000, b"c"]
    ends = socket.socketpair()
    sender_end, receiver_end = map(Channel, ends)
    thread = threading.Thread(target=lambda: [sender_end.send({"n": 1}, files=files), sender_end.send({"n": 2})])
    thread.start()
    assert receiver_end.receive(timeout_s=60) == {"n": 1, "files": files}
    assert receiver_end.receive(timeout_s=60) == {"n": 2}
    thread.join()
    ends[0].sendall(b'{"files": [9]}\n123')
    sender_end.close()
    assert receiver_end.receive() is None, "the other end was closed within a file"
    receiver_end.close()
