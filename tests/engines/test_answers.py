"""What an endpoint may answer: everything that is no completion is an EngineError, and nothing else is raised."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scripted_endpoint import message, said

from benchcoe_jobs.engines.endpoints.answers import count, read_answer, read_echo, require_model
from benchcoe_jobs.engines.errors import EngineError, RefusedError

PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Is it (C)?"}]},
    {"type": "text", "text": "It is "},
    {"type": "text", "text": "(B)."},
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=6,
)
FIELDS = ["message", "text", "content", "finish_reason", "index", "logprobs", "tokens", "token_logprobs", "refusal"]
CHOICES = st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON | st.dictionaries(st.sampled_from(FIELDS), JSON)))


@pytest.mark.parametrize(
    ("answer", "text", "thoughts"),
    [
        (said("(B)"), "(B)", None),
        (message(content="(B)"), "(B)", None),
        (message(content=PARTS), "It is (B).", "Is it (C)?"),
        (message(content=[]), "", None),
        (message(content=["(", {"text": "B)"}]), "(B)", None),
        (message(content=[{"type": "output_text", "text": "(B)"}, None]), "(B)", None),
        (message(content="(B)", reasoning_content="(C)?", reasoning="(C)?"), "(B)", "(C)?"),
        (message(content="(B)", reasoning="(C)?"), "(B)", "(C)?"),
        (message(content=[{"type": "reasoning", "text": "(C)?"}, {"type": "text", "text": "(B)"}]), "(B)", "(C)?"),
        (message(content=None, refusal="I cannot help."), "I cannot help.", None),
        (message(content=None), "", None),
        (message("length", content=None, reasoning_content="(C)? or"), "", "(C)? or"),
    ],
)
def test_the_text_of_an_answer(answer: dict[str, Any], text: str, thoughts: str | None) -> None:
    read = read_answer(answer)
    assert (read.text, read.thoughts) == (text, thoughts)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({}, "has no choices"),
        ({"choices": []}, "has no choices"),
        ({"choices": "none"}, "has no choices"),
        ({"choices": [None, 3]}, "has no choices"),
        (said(7), "neither a text nor parts of text"),
        (said({"a": "b"}), "neither a text nor parts of text"),
        (message(content=[{"type": "image_url", "image_url": {"url": "x"}}]), "neither a text nor parts of text"),
        (message(content=[{"type": [], "text": "x"}]), "neither a text nor parts of text"),
        (message(content=None, reasoning_content="The answer is (B)."), "thoughts of the model and no text"),
        (message("tool_calls", content=None, tool_calls=[{"id": 1}]), "call of a tool"),
        (said("partly", reason="error"), "ended the answer with an error"),
    ],
)
def test_an_answer_without_a_text_is_an_error(answer: dict[str, Any], error: str) -> None:
    with pytest.raises(EngineError, match=error):
        read_answer(answer)


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY"])
def test_a_withheld_answer_is_a_refusal(reason: str) -> None:
    with pytest.raises(RefusedError, match="withheld"):
        read_answer(said("", reason=reason))


@pytest.mark.parametrize(
    ("reason", "kept"),
    [("length", "length"), ("MAX_TOKENS", "length"), ("model_length", "length"), ("stop", "stop"), (None, "stop")],
)
def test_the_names_of_a_truncated_answer(reason: Any, kept: str) -> None:
    assert read_answer(said("a", reason=reason)).finish_reason == kept


@pytest.mark.parametrize(
    "choices",
    [
        [{"index": 1, "text": "second"}, {"index": 0, "text": "first"}],
        [{"index": 0, "text": "first"}, {"index": 1, "text": "second"}],
        [{"text": "first"}, {"text": "second"}],
        [None, {"index": 3, "text": "first"}],
    ],
)
def test_of_several_choices_the_first_by_index_counts(choices: list[Any]) -> None:
    assert read_answer({"choices": choices}).text == "first"


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        *[(7, 7), (7.0, 7), (3.25, 3), (14417.92, 14418), ("7", 7), ("3.5", 4), (0, 0), (2**31 - 1, 2**31 - 1)],
        *[(value, None) for value in (2**31, -1, 10**400, math.nan, math.inf, "many", "", "inf", None, True, [], {})],
    ],
)
def test_a_number_of_tokens(value: Any, tokens: int | None) -> None:
    found = count(value)
    assert (found, type(found)) == (tokens, type(tokens))
    assert read_answer(said("a", usage={"completion_tokens": value})).completion_tokens == tokens


@pytest.mark.parametrize("usage", [None, [], "7", 7, {"prompt_tokens": {"total": 3}}])
def test_usage_that_is_none_costs_no_answer(usage: Any) -> None:
    read = read_answer(said("(B)", usage=usage))
    assert (read.text, read.prompt_tokens, read.completion_tokens) == ("(B)", None, None)


@pytest.mark.parametrize(
    ("requested", "name"),
    [
        ("llama3", "llama3"),
        ("llama3", "llama3:latest"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4", "gpt-4-0613"),
        ("openai/gpt-4o", "gpt-4o-2024-08-06"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("mistralai/Mathstral-7B-v0.1", "mathstral-7b-v0.1"),
        ("llama3", None),
        ("llama3", ""),
        ("llama3", 7),
    ],
)
def test_names_of_the_model_that_was_asked(requested: str, name: Any) -> None:
    require_model({"model": name}, requested, ())


@pytest.mark.parametrize(
    ("requested", "name"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4-0613", "gpt-4-0314"),
        ("llama3:8b", "llama3:70b"),
        ("big", "small"),
        ("openrouter/auto", "anthropic/claude-x"),
    ],
)
def test_another_model_is_an_error_unless_it_is_accepted(requested: str, name: str) -> None:
    with pytest.raises(EngineError, match=f"answered as model {name}, not as {requested}: .*--accept-model"):
        require_model({"model": name}, requested, ("something else",))
    require_model({"model": name}, requested, ("something else", name))
    require_model({"model": name}, requested, ("*",))


def test_the_name_of_another_model_is_shown_in_one_line() -> None:
    with pytest.raises(EngineError, match=r"^the endpoint answered as model a b\\x1b, not as c: "):
        require_model({"model": "a\nb\x1b"}, "c", ())


def echoed(tokens: list[str], values: list[Any], text: str = "ab", n_new: Any = 1) -> dict[str, Any]:
    logprobs = {"tokens": tokens, "token_logprobs": values}
    return {"choices": [{"text": text, "logprobs": logprobs}], "usage": {"completion_tokens": n_new}}


@pytest.mark.parametrize("n_new", [1, None, "?"])
def test_the_generated_token_of_an_echo_is_left_out_by_number(n_new: Any) -> None:
    """Also if the texts of tokens are longer or shorter than what they stand for in the prompt."""
    answer = echoed(["<|begin_of_text|>", "\ufffd", "\ufffd", "!"], [None, -1, -0.5, -9], "é!", n_new)
    assert read_echo(answer, "é", 1) == (0.0, -1.0, -0.5)


def test_an_echo_without_a_generated_token() -> None:
    """The model ended its turn, and the server counts no token."""
    assert read_echo(echoed(["a", "b"], [None, -2], n_new=0), "ab", 1) == (0.0, -2.0)


NO_LOGPROBS = [None, "x", True, 0.5, math.nan, -math.inf, -(10**400)]

# llama.cpp's own server gives log-probabilities in the form of chat completions, and no echo.
LLAMA_CPP = {"choices": [{"text": "!", "logprobs": {"content": [{"token": "!", "logprob": -1}]}}]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"choices": [{"text": "!"}]}, "does not support echo"),
        (LLAMA_CPP, "does not support echo"),
        (echoed(["a", "b"], [None]), "does not support echo"),
        (echoed(["!"], [-1.0]), "does not echo the prompt"),
        (echoed(["x", "y", "z"], [-1.0, -1.0, -1.0], text="xyz", n_new=None), "does not echo the prompt"),
        *[(echoed(["a", "b", "!"], [None, value, -1]), "a token of the prompt has none") for value in NO_LOGPROBS],
    ],
)
def test_what_is_no_echo_gives_no_log_likelihood(answer: dict[str, Any], error: str) -> None:
    with pytest.raises(EngineError, match=error):
        read_echo(answer, "ab", 1)


# The first draw compiles the strategies, which takes seconds on a busy machine.
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["choices", "usage", "model", "error"]), JSON | CHOICES))
@example({"choices": [{"message": {"content": [[[]]]}}]})
def test_any_json_is_an_answer_or_an_engine_error(answer: dict[str, Any]) -> None:
    for read in (read_answer, lambda one: read_echo(one, "ab", 1), lambda one: require_model(one, "m", ())):
        with contextlib.suppress(EngineError):
            read(answer)
