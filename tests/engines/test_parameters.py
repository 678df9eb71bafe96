"""Parameters that a model refuses: every request is asked again without them, and none is lost."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_endpoint import CHAT, PLAIN, Body, Reply, Script, ask, refused, said, scripted

from benchcoe_jobs.engines.endpoints.parameters import Parameters
from benchcoe_jobs.engines.errors import RefusedError

QUESTIONS = [f"What is {n}?" for n in range(12)]

NEW_LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
NO_ZERO = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
)


def new_limit(_: str, body: Body) -> Reply:
    return refused(400, NEW_LIMIT) if "max_tokens" in body else said("ok")


def o_model(_: str, body: Body) -> Reply:
    """A model that takes neither the old limit nor a temperature nor stop strings, as OpenAI's reasoning models."""
    if "max_tokens" in body:
        return refused(400, NEW_LIMIT, param="max_tokens", code="unsupported_parameter")
    if body.get("temperature", 1) != 1:
        return refused(400, NO_ZERO, param="temperature", code="unsupported_value")
    if "stop" in body:
        return refused(400, "Unsupported parameter: 'stop' is not supported with this model.", param="stop")
    return said("yes\nQuestion: no")


def test_all_requests_under_way_are_asked_with_the_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refusals all come after all requests were sent."""
    with scripted(monkeypatch, Script(new_limit)) as engine:
        assert [one.text for one in ask(engine, *QUESTIONS)] == ["ok"] * 12


@pytest.mark.parametrize("passes_probe", [True, False])
def test_a_model_without_temperature_and_stop(monkeypatch: pytest.MonkeyPatch, passes_probe: bool) -> None:
    """Learned at load, which the run's fingerprint shows, or from the requests; the text is cut at the stop string."""
    script = Script(o_model, passes_probe=passes_probe)
    with scripted(monkeypatch, script) as engine:
        answers = ask(engine, *QUESTIONS, stop=("Question:",))
        assert [(one.text, one.error) for one in answers] == [("yes\n", None)] * 12
        assert engine.version().get("not_sent") == ("stop, temperature" if passes_probe else None)
        assert len(script.seen) == (12 if passes_probe else 48)
        assert script.seen[-1] == (PLAIN, {"model": "m", "prompt": QUESTIONS[-1], "max_completion_tokens": 8})


def test_no_temperature_is_a_setting_too(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(lambda *_: said("ok"))
    with scripted(monkeypatch, script, no_temperature=True) as engine:
        assert ask(engine, "a", temperature=0.7)[0].text == "ok"
        assert engine.version()["not_sent"] == "temperature"
        assert "temperature" not in script.seen[0][1]


def test_a_model_that_takes_everything_is_asked_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint is that of earlier releases, so stored answers stay valid."""
    script = Script(lambda *_: said("ok"))
    with scripted(monkeypatch, script) as engine:
        assert engine.version() == {"engine": "openai", "model": "m", "base_url": "http://test/v1"}
        ask(engine, "a", stop=("\n",), temperature=0.5, seed=3)
        body = {"model": "m", "prompt": "a", "temperature": 0.5, "stop": ["\n"], "seed": 3, "max_tokens": 8}
        assert script.seen == [(PLAIN, body)]


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        (NO_ZERO, {"temperature"}),
        ("`temperature` is deprecated for this model.", {"temperature"}),
        ("invalid temperature: only 1 is allowed for this model", {"temperature"}),
        ("Argument not supported on this model: stop", {"stop"}),
        ("Unrecognized request argument supplied: seed", {"seed"}),
        ("[{'type': 'extra_forbidden', 'loc': ['body', 'seed'], 'msg': 'Extra inputs are not permitted'}]", {"seed"}),
        ("temperature and 'stop' are not supported", {"temperature", "stop"}),
    ],
)
def test_wordings_of_a_refused_parameter(text: str, left_out: set[str]) -> None:
    assert refused_after(text) == left_out


@pytest.mark.parametrize(
    "text",
    [
        "temperature must be between 0 and 1",
        "temperature: range: 0..1",
        "temperature must be 1.5 or less",
        "The model does not exist, please stop",
        "Could not finish the message because max_tokens was reached. Please try again with higher max_tokens.",
        "Unsupported parameter: 'max_tokens'",
        "context length exceeded: reduce max_tokens",
        "no",
    ],
)
def test_other_refusals_are_those_of_the_request(text: str) -> None:
    """A value out of range is not left out silently, nor is the limit of tokens."""
    with pytest.raises(RefusedError, match=r"."):
        refused_after(text)


def refused_after(text: str) -> set[str]:
    """The parameters that are left out after a first refusal."""
    parameters, bodies = Parameters(no_temperature=False), []

    async def post(body: dict[str, Any]) -> dict[str, Any]:
        bodies.append(body)
        if len(bodies) == 1:
            raise RefusedError(f"host answers 400: {text}", status=400)
        return {}

    sending = parameters.send(post, {"temperature": 0.0, "stop": ["x"], "seed": 1, "max_tokens": 3})
    with pytest.raises(StopIteration):
        sending.send(None)
    assert set(bodies[0]) - set(bodies[1]) == parameters.refused
    return parameters.refused


def test_a_plain_prompt_in_the_chat_form_is_cut_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop string that is sent would also end the thoughts of the model."""
    script = Script(lambda *_: said("<think>Question: is it (C)?</think>(B)\nQuestion: next"))
    with scripted(monkeypatch, script, api="chat") as engine:
        [plain], [chat] = ask(engine, "a", stop=("Question:",)), ask(engine, "a", stop=("Question:",), chat=True)
        assert plain.text == chat.text == "(B)\n"
        assert [(path, "stop" in body) for path, body in script.seen] == [(CHAT, False), (CHAT, True)]
