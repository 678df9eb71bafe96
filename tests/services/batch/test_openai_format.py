"""OpenAI's batch format: validation of a whole file, requests to routers and engines, and the lines of results."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from prompt_files import CHAT, PLAIN, chat, plain, write

from benchcoe_jobs import files
from benchcoe_jobs.domain import Decoding, Image, Message, Request, RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.services.batch import openai_format
from benchcoe_jobs.services.batch.openai_format import (
    answer_line,
    engine_request,
    error_line,
    read_lines,
    router_input,
    sent_on_only,
)

WRONG = [
    "{",
    "[]",
    plain(1, "fine"),
    plain(1, "again"),
    chat(2, "x") | {"method": "GET"},
    chat(3, "x") | {"url": "/v1/embeddings"},
    chat(4, "x", tools=[{}]),
    chat(5, "x", messages=[]),
    chat(6, "x", messages=[{"role": "assistant", "content": "and?"}]),
    chat(7, "x", n=2),
    chat(8, "x", stream=True),
    chat(9, "x", max_tokens=0),
    chat(10, "x", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]),
    plain(11, "x", temperature=float("nan")),
]
PICTURE = b"\x89PNG"
PARTS = [
    {"type": "text", "text": "what is"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"}},
    {"type": "text", "text": "in this picture?"},
]


def test_lines_are_read_in_order_with_their_numbers(tmp_path: Path) -> None:
    first, second = chat(1, "why?"), plain(2, "how?")
    lines = read_lines(write(tmp_path / "p.jsonl", "", first, "  ", second))
    assert lines == [(2, "c1", CHAT, first["body"]), (4, "c2", PLAIN, second["body"])]


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_lines(write(tmp_path / "wrong.jsonl", *WRONG))
    message = str(refused.value)
    assert [int(number) for number in re.findall(r"line (\d+): ", message)] == [1, 2, *range(4, 15)], message
    assert "line 1: not JSON" in message
    assert "line 4: custom_id 'c1' is that of line 3 already" in message
    assert "an image must be a data:image/...;base64,... URI: no image is downloaded" in message


def test_the_message_counts_the_wrong_lines_that_it_does_not_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 20: not JSON; and 5 more lines$"):
        read_lines(write(tmp_path / "wrong.jsonl", *["{"] * 25))


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "has 0 requests: a file must have 1 to 50000"), (b"\xff", "is not UTF-8 at byte 0")]
)
def test_files_without_a_line_to_read(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_lines(path)


def test_limits_and_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_lines(tmp_path / "none.jsonl")
    file = write(tmp_path / "p.jsonl", chat(1, "x"), chat(2, "y"))
    monkeypatch.setattr(openai_format, "MOST_LINES", 1)
    with pytest.raises(InputError, match="has 2 requests"):
        read_lines(file)
    monkeypatch.setattr(openai_format, "MOST_BYTES", 10)
    with pytest.raises(InputError, match="submit it in parts"):
        read_lines(file)


def test_the_bodies_are_validated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_parsed = 0

    class Counting:
        @staticmethod
        def model_validate(body: Any) -> None:
            nonlocal n_parsed
            n_parsed += 1

    monkeypatch.setattr(openai_format, "_BODIES", {CHAT: Counting, PLAIN: Counting})
    lines = read_lines(write(tmp_path / "p.jsonl", chat(1, "x"), plain(2, "y")))
    assert [router_input(line.url, line.body).text for line in lines] == ["x", "y"]
    assert n_parsed == 2, "the router's input needs no second validation"


def test_a_router_reads_the_text_of_the_last_message_and_all_pictures() -> None:
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": PARTS}]
    picture = Picture.of(PICTURE)
    expected = RouterInput("what is\nin this picture?", pictures=(picture,))
    assert router_input(CHAT, chat(1, "", messages=talk)["body"]) == expected
    talk += [{"role": "assistant", "content": "a cat"}, {"role": "user", "content": "how old?"}]
    found = router_input(CHAT, chat(1, "", messages=talk)["body"])
    assert found == RouterInput("how old?", pictures=(picture,)), "an earlier picture is a part of the question"
    assert found.pictures[0].read() == PICTURE
    assert router_input(PLAIN, {"prompt": "how?"}) == RouterInput("how?")


def test_an_engine_gets_the_conversation_and_the_decoding() -> None:
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": PARTS}]
    body = chat(1, "", messages=talk, max_tokens=5, max_completion_tokens=9, seed=3, stop="END")["body"]
    request, decoding = engine_request(CHAT, body)
    question = Message("user", ("what is", Image(PICTURE), "in this picture?"))
    assert request.messages == (Message("system", "be brief"), question), "the parts keep their order"
    assert request.question == "what is\nin this picture?"
    assert decoding == Decoding(max_new_tokens=9, temperature=0, seed=3, stop=("END",), chat=True)
    request, decoding = engine_request(PLAIN, {"prompt": "how?", "stop": ["a", "", "b"]})
    assert (request, decoding) == (Request("how?"), Decoding(temperature=1.0, seed=None, stop=("a", "b")))


def test_a_seed_of_the_job_is_no_seed_of_the_body() -> None:
    for line in (plain(1, "how?"), chat(1, "how?")):
        request, decoding = engine_request(line["url"], line["body"], 7)
        assert (request.seed, decoding.seed) == (7, None)
    assert engine_request(PLAIN, {"prompt": "how?", "seed": 0}, 7)[1].seed == 0, "asked for, although it is 0"


def test_images_may_be_in_every_message(tmp_path: Path) -> None:
    talk = [
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": "a dog"},
        {"role": "user", "content": "and?"},
    ]
    [line] = read_lines(write(tmp_path / "p.jsonl", chat(1, "", messages=talk)))
    request, _ = engine_request(line.url, line.body)
    assert request.image_files == (PICTURE,)
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]


def image(**more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": PARTS[1]["image_url"] | more}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({"content": "x"}, None),
        ({"content": "x", "name": None}, None),
        ({"content": "x", "name": "Ann"}, "body.messages[0].name"),
        ({"content": [image(), image(detail="auto"), image(detail=None)]}, None),
        ({"content": [PARTS[0], image(detail="low")]}, "body.messages[0].content[1].image_url.detail"),
    ],
)
def test_what_only_an_endpoint_can_be_told_is_found(tmp_path: Path, message: dict[str, Any], place: str | None) -> None:
    file = write(tmp_path / "p.jsonl", chat(1, "", messages=[{"role": "user"} | message]))
    [line] = read_lines(file)
    assert sent_on_only(line.body) == place


HARMLESS: list[dict[str, Any]] = [
    {"temperature": None, "n": None, "stream": None, "tools": None, "tool_choice": None, "logit_bias": None},
    {"response_format": None, "stream_options": None, "functions": None, "reasoning_effort": None, "a_new_field": None},
    {"n": 1, "stream": False, "logprobs": False, "top_logprobs": 0, "top_p": 1.0, "presence_penalty": 0.0},
    {"logit_bias": {}, "response_format": {"type": "text"}, "modalities": ["text"], "tool_choice": "none"},
    {"parallel_tool_calls": True, "service_tier": "auto", "safety_identifier": "u", "prompt_cache_key": "k"},
    {"user": "u", "metadata": {"a": "b"}, "store": False},
    {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "use_beam_search": False, "stop_token_ids": []},
    {"skip_special_tokens": True, "add_generation_prompt": True, "bad_words": [], "min_tokens": 0, "echo": False},
    {
        "messages": [
            {"role": "assistant", "content": "x", "refusal": None, "audio": None, "tool_calls": [], "annotations": []},
            {"role": "user", "content": [{"type": "text", "text": "y", "annotations": None}], "name": None},
        ]
    },
]


@pytest.mark.parametrize("fields", HARMLESS, ids=lambda fields: next(iter(fields)))
def test_nulls_and_defaults_change_nothing(tmp_path: Path, fields: dict[str, Any]) -> None:
    body = chat(1, "x")["body"] | fields
    [line] = read_lines(write(tmp_path / "p.jsonl", chat(1, "x") | {"body": body}))
    assert line.body == body, "the request is stored as it was written"
    _, decoding = engine_request(line.url, line.body)
    assert decoding.temperature == (1.0 if "temperature" in fields else 0)


PLACES: list[tuple[Any, str]] = [
    ({"temperature": 3}, "body.temperature: should be less than or equal to 2"),
    ({"temperature": True}, "body.temperature: should be a valid number"),
    ({"n": 2}, "body.n: is not supported, and could change the answer"),
    ({"n": True}, "body.n: is not supported"),
    ({"logprobs": True}, "body.logprobs: is not supported"),
    ({"top_p": 0.9}, "body.top_p: is not supported"),
    ({"response_format": {"type": "json_object"}}, "body.response_format: is not supported"),
    ({"reasoning_effort": "low"}, "body.reasoning_effort: is not supported"),
    ({"a b\u001b": 1}, r'body["a b\u001b"]: is not supported'),
    ({"x" * 9000: 1}, f'body["{"x" * 50}"]: is not supported'),
    ({"seed": 1 << 63}, "body.seed: should be less than or equal to"),
    ({"max_tokens": 10**30}, "body.max_tokens: should be less than or equal to"),
    ({"messages": ["hi"]}, "body.messages[0]: must be an object"),
    ({"messages": [{"role": "user"}]}, "body.messages[0].content: is missing"),
    ({"messages": [{"role": "user", "content": 5}]}, "body.messages[0].content: should be a text, or a list of parts"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "input_audio"}]}]},
        "body.messages[0].content[1]: tag 'input_audio' found",
    ),
    (
        {"messages": [{"role": "user", "content": [image(detail="huge")]}]},
        "body.messages[0].content[0].image_url.detail: should be 'auto', 'low' or 'high'",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "body.messages[0].content[0].text: is missing"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "body.messages[0].role: should be"),
    ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]}, "body.messages[0].tool_calls: "),
    ({"messages": [{"role": "assistant", "content": "and?"}]}, "body.messages: the last message must be the user's"),
    ({"stop": 5}, "body.stop: "),
]


@pytest.mark.parametrize(("fields", "message"), PLACES, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_a_fault_is_named_with_its_place(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    file = write(tmp_path / "p.jsonl", chat(1, "fine"), chat(2, "x", **fields))
    with pytest.raises(InputError) as refused:
        read_lines(file)
    assert f"p.jsonl: line 2: {message}" in str(refused.value)
    assert len(str(refused.value)) < len(str(file)) + 400


def line_with(**fields: Any) -> str:
    return json.dumps(plain(2, "x") | fields)


def value(text: str) -> str:
    """A line with a JSON text as the value of a field."""
    return line_with(body={"prompt": "x", "seed": "HERE"}).replace('"HERE"', text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a line must be a JSON object"),
        ("null", "a line must be a JSON object"),
        ('"x"', "a line must be a JSON object"),
        (line_with(custom_id="a\0b"), "custom_id: it contains the character NUL"),
        (line_with(custom_id="\ud800"), "custom_id: should be a valid string"),
        (line_with(custom_id="x" * 10_000), "custom_id: String should have at most 512 characters"),
        (line_with(custom_id=7), "custom_id: should be a valid string"),
        (line_with(body=[]), "body: "),
        (line_with(more=1), "more: is not supported"),
        ('{"custom_id": "a", "custom_id": "b"}', 'the key "custom_id" occurs twice in an object'),
        (value("NaN"), "NaN is not JSON"),
        (value("1e999"), "body.seed: "),
        (value("9" * 5000), "a number of 5000 digits is too long"),
        (value("[" * 100_000 + "]" * 100_000), "JSON that is nested too deep"),
        *((value("[" * depth + "]" * depth), "") for depth in (300, 480, 700, 950, 990)),
    ],
    ids=lambda text: text[:30],
)
def test_hostile_lines_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_lines(write(tmp_path / "p.jsonl", plain(1, "fine"), text))
    assert f"line 2: {message}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_a_pipe_is_read_once_and_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = json.dumps(plain(1, "x"))

    def read(text: str) -> list[openai_format.SubmittedLine]:
        writer = threading.Thread(target=pipe.write_text, args=[text])
        writer.start()
        try:
            return read_lines(pipe)
        finally:
            writer.join()

    assert [line.custom_id for line in read(content)] == ["c1"]
    monkeypatch.setattr(openai_format, "MOST_BYTES", len(content) - 1)
    with pytest.raises(InputError, match="submit it in parts"):
        read(content)
    monkeypatch.setattr(files, "_PIPE_S", 0.1)
    with pytest.raises(InputError, match="it is a pipe that no program writes to"):
        read_lines(pipe)


def test_the_lines_of_results() -> None:
    answer: dict[str, Any] = {"text": "B", "finish_reason": "stop", "prompt_tokens": 3, "completion_tokens": None}
    line = answer_line(7, 2, "c2", PLAIN, **answer, created=9, expert="ann", why="best")
    assert (line["id"], line["custom_id"], line["error"]) == ("batch_req_7_2", "c2", None)
    assert line["response"]["body"] == {
        "id": "cmpl-7-2",
        "object": "text_completion",
        "created": 9,
        "model": "ann",
        "choices": [{"index": 0, "finish_reason": "stop", "text": "B"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3},
        "benchcoe": {"expert": "ann", "why": "best"},
    }
    chat_body = answer_line(7, 2, "c2", CHAT, **answer, created=9, expert="ann", why=None)["response"]["body"]
    assert chat_body["object"] == "chat.completion"
    assert chat_body["choices"][0]["message"] == {"role": "assistant", "content": "B"}
    failed = error_line(7, 2, "c2", message="no memory", expert=None, why=None)
    assert (failed["response"], failed["error"]["code"]) == (None, "not_answered")
    assert failed["error"]["message"] == "no memory"
