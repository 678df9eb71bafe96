"""Exchanges with an endpoint: what is retried, what is bought once, and bodies of any size and depth."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2
import pytest
from scripted_endpoint import Body, Reply, Script, ask, refused, said, scripted

from benchcoe_jobs.domain import Completion
from benchcoe_jobs.engines.endpoints.openai import OpenAIEngine

GOOD, ODD = "good", "odd"


class Sent(httpx2.AsyncByteStream):
    """A body as it comes from a socket: not yet decompressed."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 1 << 16):
            yield self._content[start : start + (1 << 16)]


class Endless(httpx2.AsyncByteStream):
    """A body without an end; `n` counts the pieces that were read."""

    n = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.n += 1
            yield b'{"choices": [' + b" " * (1 << 20)


def odd_among_good(reply: Callable[[], Reply]) -> Callable[[str, Body], Reply]:
    return lambda _, body: reply() if body.get("prompt") == ODD else said("ok")


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchcoe_jobs.engines.endpoints.endpoint._FIRST_PAUSE_S", 0.001)


def completion_of_odd(monkeypatch: pytest.MonkeyPatch, reply: Callable[[], Reply], **settings: object) -> Completion:
    """The completion of the odd request; those beside it are answered."""
    with scripted(monkeypatch, Script(odd_among_good(reply)), **settings) as engine:
        before, odd, after = ask(engine, GOOD, ODD, GOOD)
        assert (before.text, after.text) == ("ok", "ok")
        return odd


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("content", "headers", "error"),
    [
        (b'{"choices": [{"text": "hal', {}, "not a JSON object"),
        (b"[]", {}, "not a JSON object"),
        (b"<html>", {}, "not a JSON object"),
        (b"", {}, "not a JSON object"),
        (b'{"choices": ' + DEEP + b"}", {}, "not a JSON object"),
        (b'{"n": ' + b"9" * 5000 + b"}", {}, "not a JSON object"),
        (b"\xff\xfe\x00", {}, "not a JSON object"),
        (b"not gzip", {"Content-Encoding": "gzip"}, "decompress"),
        # A bomb of gzip: 40 MiB in 40 kB, of which the first 33 are decompressed.
        (gzip.compress(b" " * (40 << 20), 1), {"Content-Encoding": "gzip"}, "more than 32 MiB"),
    ],
)
@pytest.mark.usefixtures("without_pauses")
def test_a_body_that_is_no_answer_is_an_error_of_its_request(
    monkeypatch: pytest.MonkeyPatch, content: bytes, headers: dict[str, str], error: str
) -> None:
    odd = completion_of_odd(
        monkeypatch, lambda: httpx2.Response(200, stream=Sent(content), headers=headers), deadline_s=0.05
    )
    assert odd.error is not None
    assert error in odd.error


@pytest.mark.usefixtures("without_pauses")
def test_a_body_without_an_end_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = []

    def reply() -> httpx2.Response:
        bodies.append(Endless())
        return httpx2.Response(200, stream=bodies[-1])

    assert "more than 32 MiB" in str(completion_of_odd(monkeypatch, reply).error)
    assert [body.n for body in bodies] == [32] * 3


@pytest.mark.usefixtures("without_pauses")
def test_what_may_have_been_charged_for_is_asked_three_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(lambda *_: httpx2.Response(200, content=b"{"))
    with scripted(monkeypatch, script) as engine:
        assert "no usable answer, 3 times" in str(ask(engine, GOOD)[0].error)
        assert [body["prompt"] for _, body in script.seen if body["prompt"] == GOOD] == [GOOD] * 3


def test_a_generation_that_times_out_is_not_bought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(odd_among_good(lambda: 60.0))
    with scripted(monkeypatch, script, timeout_s=0.1) as engine:
        _, odd = ask(engine, GOOD, ODD)
        assert odd.error is not None
        assert "no answer within 0.1 s; not asked again" in odd.error
        assert "add-expert --timeout" in odd.error
        assert sum(body["prompt"] == ODD for _, body in script.seen) == 1


@pytest.mark.parametrize("status", [504, 524])
def test_a_gateway_that_times_out_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    script = Script(odd_among_good(lambda: refused(status, "timed out")))
    with scripted(monkeypatch, script) as engine:
        assert "not asked again" in str(ask(engine, GOOD, ODD)[1].error)
        assert sum(body["prompt"] == ODD for _, body in script.seen) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"choices": None, "error": {"message": "flagged", "code": 403}}, "answers 403: flagged"),
        ({"error": {"message": "bad", "code": 400}}, "answers 400: bad"),
        ({"object": "error", "message": "bad", "code": 40301}, "answers 400: bad"),
        ({"choices": [{"index": 0, "text": "half", "error": {"message": "cut", "code": 400}}]}, "answers 400: cut"),
    ],
)
def test_an_error_inside_of_an_answer(monkeypatch: pytest.MonkeyPatch, error: Body, words: str) -> None:
    assert words in str(completion_of_odd(monkeypatch, lambda: error).error)


@pytest.mark.usefixtures("without_pauses")
def test_a_passing_error_inside_of_an_answer_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    replies: Iterator[Reply] = iter(
        [{"choices": None, "error": {"message": "Provider returned error", "code": 429}}, said("at last")]
    )
    with scripted(monkeypatch, Script(lambda *_: next(replies))) as engine:
        assert ask(engine, GOOD)[0].text == "at last"


def test_a_redirect_names_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = httpx2.Response(308, headers={"Location": "https://elsewhere/v1"}, content=b"moved")
    assert "308: moved; name the place that it redirects to" in str(completion_of_odd(monkeypatch, lambda: moved).error)


@pytest.mark.usefixtures("without_pauses")
def test_a_bug_in_reading_one_answer_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(raw: Body) -> None:
        raise ZeroDivisionError("never seen before")

    monkeypatch.setattr("benchcoe_jobs.engines.endpoints.openai.read_answer", read)
    with scripted(monkeypatch, Script(lambda *_: said("ok"))) as engine:
        assert "ZeroDivisionError: never seen before" in str(ask(engine, GOOD, GOOD)[1].error)


def test_a_key_is_masked_before_a_message_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-" + "0123456789" * 4
    monkeypatch.setenv("TEST_KEY", key)
    reply = refused(400, "x" * 480 + key)
    odd = completion_of_odd(monkeypatch, lambda: reply, api_key_env="TEST_KEY")
    assert odd.error is not None
    assert "sk-" not in odd.error


def test_an_engine_without_an_expert_is_closed() -> None:
    OpenAIEngine().close()
