"""The engine openai with a faulty server: what is retried, what is an error, and that the key is never texts."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import loopback
import pytest
import tiny
from loopback import KEY_VARIABLE, Loopback

from benchcoe_jobs.domain import Completion, Decoding, Image, Message, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.endpoints.openai import OpenAIEngine
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.errors import AccessDeniedError, EndpointDownError, EngineError, ModelNotFoundError
from benchcoe_jobs.errors import BenchcoeError, MissingError, UsageError

GREEDY = Decoding(max_new_tokens=4)
QUESTION = Request("What is two plus two?")
FOR_LONG = {"Retry_After": "3600"}
"""A fault with this wait is beyond each deadline: its message is the last one, even on a busy machine."""

Make = Callable[..., OpenAIEngine]


@pytest.fixture
def make(endpoint: Loopback) -> Iterator[Make]:
    engines = []

    def make(**settings: object) -> OpenAIEngine:
        defaults = {"engine": "openai", "model": "tiny", "base_url": endpoint.url, "timeout_s": 5.0, "deadline_s": 15.0}
        engines.append(OpenAIEngine())
        engines[-1].load(ExpertSettings(**defaults | settings))  # type: ignore[arg-type]
        endpoint.seen.clear()
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def once(engine: OpenAIEngine, request: Request = QUESTION, decoding: Decoding = GREEDY) -> Completion:
    [completion] = engine.run([request], decoding)
    return completion


@pytest.mark.parametrize(
    "fault",
    [
        loopback.status(500),
        loopback.status(503),
        loopback.status(429),
        loopback.broken_json,
        loopback.hang_up,
        lambda handler: loopback.send(handler, 200, b"[]"),
    ],
)
def test_a_temporary_failure_is_retried(endpoint: Loopback, make: Make, fault: loopback.Failure) -> None:
    engine = make()
    expected = once(engine).text
    endpoint.seen.clear()
    endpoint.faults.extend([fault, fault])
    assert once(engine).text == expected
    assert len(endpoint.seen) == 3


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(endpoint: Loopback, make: Make, as_date: bool) -> None:
    engine = make()
    seconds = 3 if as_date else 2  # a date has whole seconds: up to one is lost
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True) if as_date else "2"
    endpoint.faults.append(loopback.status(429, Retry_After=value))
    started = time.monotonic()
    assert once(engine).error is None
    assert time.monotonic() - started >= 1.9


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(endpoint: Loopback, make: Make) -> None:
    engine = make()
    endpoint.outage = loopback.status(429, "quota used up", **FOR_LONG)
    started = time.monotonic()
    with pytest.raises(EndpointDownError, match="quota used up"):
        once(engine)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("fault", [loopback.hanging, loopback.dripping])
def test_a_connection_that_hangs_is_closed_and_not_tried_again(
    endpoint: Loopback, make: Make, fault: Callable[[Loopback], loopback.Failure]
) -> None:
    """The endpoint may generate an answer in the meantime, and charge for it."""
    engine = make(timeout_s=1.0)
    endpoint.faults.append(fault(endpoint))
    assert "no answer within 1 s; not asked again" in str(once(engine).error)
    assert len(endpoint.seen) == 1
    assert once(engine).error is None


def test_one_request_that_always_fails_is_an_error_of_that_request(endpoint: Loopback, make: Make) -> None:
    engine = make(batch_size=1)
    endpoint.faults.extend([loopback.status(500, "overloaded"), loopback.status(500, "overloaded", **FOR_LONG)])
    error, answer = engine.run([QUESTION, Request("And three?")], GREEDY)
    assert error.finish_reason == "error"
    assert error.error is not None
    assert "overloaded" in error.error
    assert answer.error is None


def test_an_outage_is_an_error_of_the_whole_call(endpoint: Loopback, make: Make) -> None:
    engine = make()
    endpoint.faults.extend([loopback.status(502)] * 3 + [loopback.status(502, **FOR_LONG)] * 4)
    with pytest.raises(EndpointDownError, match="answers 502"):
        engine.run([QUESTION] * 3, GREEDY)
    assert len(endpoint.seen) == 7, "each request twice, and one that finds out whether the endpoint is there"


def test_a_refusal_is_not_retried(endpoint: Loopback, make: Make) -> None:
    engine = make()
    endpoint.faults.append(loopback.status(400, "temperature must be between 0.1 and 1"))
    completion = once(engine)
    assert completion.error is not None
    assert "400: temperature must be between 0.1 and 1" in completion.error
    assert len(endpoint.seen) == 1


def test_at_most_batch_size_requests_are_open(endpoint: Loopback, make: Make) -> None:
    engine = make(batch_size=3)
    running, most = [0], [0]

    def slow(handler: object) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.1)
        running[0] -= 1
        loopback.send(handler, 200, b'{"choices": [{"text": "ok"}]}')  # type: ignore[arg-type]

    endpoint.faults.extend([slow] * 12)
    assert [one.text for one in engine.run([QUESTION] * 12, GREEDY)] == ["ok"] * 12
    assert most[0] == 3


def test_unusual_answers(endpoint: Loopback, make: Make) -> None:
    engine = make()

    def answer(content: object) -> loopback.Failure:
        return lambda handler: loopback.send(handler, 200, json.dumps(content).encode())

    endpoint.faults.append(answer({"choices": []}))
    assert once(engine).error == "the answer of the endpoint has no choices"
    endpoint.faults.append(answer({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}))
    assert once(engine, decoding=Decoding(chat=True)).text == ""
    endpoint.faults.append(answer({"choices": [{"text": "", "finish_reason": "content_filter"}]}))
    assert "content filter" in str(once(engine).error)
    endpoint.faults.append(answer({"choices": [{"text": "a" * 1_000_000}]}))
    assert len(once(engine).text) == 1_000_000


def test_images_are_sent_as_data_urls_in_the_chat_form(endpoint: Loopback, make: Make) -> None:
    engine = make()
    endpoint.faults.append(
        lambda handler: loopback.send(handler, 200, b'{"choices": [{"message": {"content": "red"}}]}')
    )
    assert once(engine, Request("Look", images=(tiny.picture(1),))).text == "red"
    [(path, _, body)] = endpoint.seen
    assert path == "/v1/chat/completions"
    image, text = body["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert text == {"type": "text", "text": "Look"}


def test_a_conversation_is_sent_as_it_is(endpoint: Loopback, make: Make) -> None:
    engine = make()
    endpoint.faults.append(
        lambda handler: loopback.send(handler, 200, b'{"choices": [{"message": {"content": "red"}}]}')
    )
    talk = (Message("system", "be brief"), Message("user", ("Before", Image(tiny.picture(1), "low"), "after?"), "Ann"))
    assert once(engine, Request("ignored", messages=talk), Decoding(4, chat=True)).text == "red"
    [(_, _, body)] = endpoint.seen
    system, user = body["messages"]
    assert (system, user["name"]) == ({"role": "system", "content": "be brief"}, "Ann")
    assert [part.get("text") for part in user["content"]] == ["Before", None, "after?"]
    assert user["content"][1]["image_url"]["detail"] == "low"


def test_only_a_seed_that_was_asked_for_is_sent(endpoint: Loopback, make: Make) -> None:
    engine = make()
    for seed, sent in [(None, None), (0, 0), (7, 7)]:
        once(engine, Request("x", seed=5), Decoding(4, temperature=1.0, seed=seed))
        assert endpoint.seen[-1][2].get("seed") == sent
    once(engine, QUESTION, Decoding(4, temperature=0.0, seed=7))
    assert "seed" not in endpoint.seen[-1][2], "greedy answers need none"


@pytest.mark.parametrize("server", ["vllm", "llama-cpp-python"])
@pytest.mark.parametrize(
    ("prompt", "continuations"),
    [
        ("The answer is", (" two", " one of the letters", "?")),
        ("The answer is ", ("two",)),
        ("Let's", (" think step by step. " * 3,)),
        ("é 日本", ("語", " é日", "🙂🙂")),
        ("日本語🙂" * 9, (" two", "é")),
    ],
)
def test_log_likelihoods_are_those_of_the_local_engine(
    endpoint: Loopback, make: Make, server: str, prompt: str, continuations: tuple[str, ...]
) -> None:
    """Whether the server echoes its first token or not, and however it decodes the parts of a character."""
    endpoint.echo = server
    request = Request(prompt, continuations=continuations)
    [expected], answer = endpoint.engine.run([request], GREEDY), once(make(), request)
    assert answer.loglikelihoods == pytest.approx(expected.loglikelihoods, abs=2e-4)
    assert answer.completion_tokens == expected.completion_tokens


def test_an_endpoint_without_echo_gives_no_log_likelihoods(endpoint: Loopback, make: Make) -> None:
    engine = make()
    endpoint.faults.append(lambda handler: loopback.send(handler, 200, b'{"choices": [{"text": "!"}]}'))
    error = once(engine, Request("a", continuations=(" b",))).error
    assert error == "the endpoint gives no log-likelihoods: it does not support echo with logprobs"


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"model": "huge"}, ModelNotFoundError, "model `huge` does not exist.*the endpoint lists tiny"),
        ({"api": "telepathy"}, UsageError, "api must be chat, completions, auto, not 'telepathy'"),
        ({"base_url": None}, UsageError, "needs a base_url"),
        ({"base_url": "http://user:secret@127.0.0.1/v1"}, UsageError, "without user"),
        ({"api_key_env": "NOT_SET_AT_ALL"}, MissingError, "NOT_SET_AT_ALL"),
        ({"dtype": "float16"}, UsageError, "no setting dtype"),
        ({"base_url": "http://127.0.0.1:9/v1", "deadline_s": 0.5}, EndpointDownError, "127.0.0.1:9"),
    ],
)
def test_load_errors(make: Make, settings: dict[str, object], kind: type[BenchcoeError], words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        make(**settings)
    assert "secret" not in str(raised.value)


def test_the_key_is_sent_and_never_shown(
    endpoint: Loopback, make: Make, key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = make(api_key_env=KEY_VARIABLE)
    texts = [once(engine), engine.version()]
    assert endpoint.seen[0][1] == f"Bearer {key}"
    for status in (400, 401, 404, 500):
        endpoint.faults.extend([loopback.status(status, f"bad key Bearer {key}", **FOR_LONG)] * 9)
        try:
            texts.append(once(engine))
        except EngineError as error:
            texts += [repr(error), str(error.__cause__), str(error.__context__)]
        endpoint.faults.clear()
    out, err = capfd.readouterr()
    for text in (repr(texts), caplog.text, out, err, repr(engine.__dict__["_settings"])):
        assert key not in text


def test_a_refused_key_is_an_error_of_the_whole_call(endpoint: Loopback, make: Make, key: str) -> None:
    engine = make(api_key_env=KEY_VARIABLE)
    endpoint.outage = loopback.status(401, f"wrong key {key}")
    with pytest.raises(AccessDeniedError, match=f"check the key in {KEY_VARIABLE}"):
        engine.run([QUESTION] * 2, GREEDY)


@pytest.mark.parametrize("value", ["sk-1\nX-Injected: yes", "sk-é"])
def test_a_key_that_cannot_be_in_a_header_is_an_error(make: Make, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(MissingError, match="no API key") as raised:
        make(api_key_env=KEY_VARIABLE)
    assert "sk-" not in str(raised.value)


def test_the_key_is_not_in_the_errors_of_the_client(endpoint: Loopback, key: str) -> None:
    settings = ExpertSettings("openai", "tiny", base_url=endpoint.url, api_key_env=KEY_VARIABLE, deadline_s=60)
    with EngineClient(settings) as client:
        client.load()
        endpoint.outage = loopback.status(500, f"refused: {key}", **FOR_LONG)
        with pytest.raises(EndpointDownError) as raised:
            client.run([QUESTION], GREEDY)
        assert "refused: ***" in str(raised.value)
        assert endpoint.seen[-1][1] == f"Bearer {key}"
