"""Questions from a JSONL file or standard input, and the messages for wrong lines."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.routing.question_file import InputQuestion, read_questions

LINES = '\ufeff{"question": "why?", "id": 7}\n\n  \n{"question": "which?", "choices": ["a", "b"]}\n'
QUESTIONS = [
    InputQuestion("7", RouterInput("why?")),
    InputQuestion(None, RouterInput("which?", ("a", "b"))),
]


def test_blank_lines_are_left_out_and_ids_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(LINES, encoding="utf-8")
    assert read_questions(file) == QUESTIONS
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(LINES.encode())))
    assert read_questions(Path("-")) == QUESTIONS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"question": "fine"}\n{"question": 1}', 'line 2: an object with a string "question" is needed'),
        (b"[]", 'line 1: an object with a string "question" is needed'),
        (b"\nwhy?", "line 2: not JSON (Expecting value)"),
        (b'{"question": "why?", "choices": "ab"}', 'line 1: "choices" must be a list of strings'),
        (b'{"question": "why?", "choices": [1]}', 'line 1: "choices" must be a list of strings'),
        (b'{"question": ' + b"9" * 5000 + b"}", "line 1: JSON that is too large or too deep"),
        (b"[" * 100_000, "line 1: JSON that is too large or too deep"),
        (b"\xff", "is not UTF-8 at byte 0"),
    ],
)
def test_the_message_names_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_questions(file)
    assert str(refused.value).endswith(message)


def test_a_line_may_have_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    file = tmp_path / "questions.jsonl"
    uri = f"data:image/png;base64,{base64.b64encode(b'other').decode()}"
    lines = [{"question": "", "images": ["a.png", uri]}, {"question": "why?", "image": "a.png"}]
    file.write_text("\n".join(map(json.dumps, lines)))
    both, one = (question.router_input for question in read_questions(file))
    assert [picture.read() for picture in both.pictures] == [b"png", b"other"]
    assert [picture.sha256 for picture in one.pictures] == [hashlib.sha256(b"png").hexdigest()]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"image": "none.png"}, "line 1: picture 1: .*none.png: cannot be read: No such file"),
        ({"images": ["https://example.org/a.png"]}, "line 1: picture 1: .* is a URL"),
        ({"images": "a.png"}, 'line 1: give "images", a list, or "image", one of them'),
        ({"images": [], "image": "a.png"}, 'line 1: give "images", a list, or "image", one of them, not both'),
    ],
)
def test_a_picture_that_cannot_be_read_is_an_error(tmp_path: Path, keys: dict[str, object], message: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"question": "why?"} | keys))
    with pytest.raises(InputError, match=message):
        read_questions(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_questions(tmp_path / "none.jsonl")
