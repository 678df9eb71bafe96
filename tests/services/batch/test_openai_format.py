"""OpenAI's batch format: validation of a whole file, requests to routers and engines, and the lines of results."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from prompt_files import CHAT, PLAIN, chat, plain, write

from benchcoe_jobs.domain import Decoding, Request, RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.batch import openai_format
from benchcoe_jobs.services.batch.openai_format import answer_line, engine_request, error_line, read_lines, router_input

WRONG = [
    "{",
    "[]",
    plain(1, "fine"),
    plain(1, "again"),
    chat(2, "x") | {"method": "GET"},
    chat(3, "x") | {"url": "/v1/embeddings"},
    chat(4, "x", tools=[]),
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


def test_a_router_reads_the_text_of_the_last_message() -> None:
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": PARTS}]
    assert router_input(CHAT, chat(1, "", messages=talk)["body"]) == RouterInput("what is\nin this picture?")
    assert router_input(PLAIN, {"prompt": "how?"}) == RouterInput("how?")


def test_an_engine_gets_turns_images_and_decoding() -> None:
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": PARTS}]
    body = chat(1, "", messages=talk, max_tokens=5, max_completion_tokens=9, seed=3, stop="END")["body"]
    request, decoding = engine_request(CHAT, body)
    assert request == Request("what is\nin this picture?", turns=(("system", "be brief"),), images=(PICTURE,))
    assert decoding == Decoding(max_new_tokens=9, temperature=0, seed=3, stop=("END",), chat=True)
    request, decoding = engine_request(PLAIN, {"prompt": "how?", "stop": ["a", "b"]})
    assert (request, decoding) == (Request("how?"), Decoding(temperature=1.0, stop=("a", "b")))


def test_only_the_last_message_may_have_images(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": PARTS}, {"role": "user", "content": "and?"}]
    with pytest.raises(InputError, match="only the last message may have images"):
        read_lines(write(tmp_path / "p.jsonl", chat(1, "", messages=talk)))


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
