"""The contract of an engine, tested for each engine with the same tiny Llama."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.transformers import TransformersEngine

CONTEXT = 512

GREEDY = Decoding(max_new_tokens=16)

QUESTIONS = [
    Request(f"{word} is {n}? Let's think" + " step" * n)
    for n, word in enumerate(["Question", "What", "The answer", "Two", "plus", "letters below", "x", "é 日本"])
]


def plain_greedy(local: TransformersEngine, prompt: str, n: int) -> tuple[list[int], str]:
    """The answer of `generate` of transformers to a single prompt."""
    model = local._model
    inputs = model.tokenizer(prompt, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    ids = model._model.generate(**inputs, max_new_tokens=n, do_sample=False, eos_token_id=1, pad_token_id=1)
    new = ids[0, inputs["input_ids"].shape[1] :].tolist()
    return new, model.tokenizer.decode(new, skip_special_tokens=True)


def test_greedy_answers_are_those_of_generate(client: EngineClient, local: TransformersEngine) -> None:
    completions = client.run(QUESTIONS, GREEDY)
    for request, completion in zip(QUESTIONS, completions, strict=True):
        ids, text = plain_greedy(local, request.question, 16)
        assert completion.text == text.rstrip("\ufffd")
        assert completion.completion_tokens == len(ids)
        assert completion.prompt_tokens == len(local._model.tokenizer(request.question)["input_ids"])
        assert completion.finish_reason == ("stop" if ids[-1] == 1 else "length")
        assert completion.error is None
        assert completion.latency_s is not None
        assert completion.latency_s > 0


def test_neighbours_do_not_change_a_greedy_answer(client: EngineClient) -> None:
    together = client.run(QUESTIONS, GREEDY)
    for request, completion in list(zip(QUESTIONS, together, strict=True))[::3]:
        [alone] = client.run([request], GREEDY)
        assert replace(alone, latency_s=None) == replace(completion, latency_s=None)


def test_a_sampled_answer_depends_only_on_seed_and_prompt(client: EngineClient) -> None:
    sampled = Decoding(max_new_tokens=16, temperature=1.0, seed=1)
    first = texts(client.run(QUESTIONS, sampled))
    assert texts(client.run(QUESTIONS[::-1], sampled))[::-1] == first
    assert texts(client.run(QUESTIONS[2:3], sampled)) == first[2:3]
    assert texts(client.run(QUESTIONS, replace(sampled, seed=2))) != first
    assert texts(client.run(QUESTIONS, GREEDY)) != first


def test_a_stop_string_ends_the_answer_and_is_cut_from_it(client: EngineClient) -> None:
    [whole] = client.run(QUESTIONS[:1], GREEDY)
    # Inside the answer, across the boundaries of tokens.
    stop = whole.text[4:7]
    found = whole.text.index(stop)
    [cut] = client.run(QUESTIONS[:1], replace(GREEDY, stop=("never generated", stop)))
    assert (cut.text, cut.finish_reason) == (whole.text[:found], "stop")
    assert whole.completion_tokens is not None
    assert cut.completion_tokens is not None
    assert cut.completion_tokens < whole.completion_tokens


def test_a_stop_string_in_the_prompt_ends_nothing(client: EngineClient) -> None:
    [completion] = client.run(QUESTIONS[:1], replace(GREEDY, stop=("think",)))
    assert completion.text == client.run(QUESTIONS[:1], GREEDY)[0].text


def test_chat_puts_the_prompt_into_the_template(client: EngineClient, local: TransformersEngine) -> None:
    [completion] = client.run([Request("What?")], replace(GREEDY, chat=True))
    ids = local._model.tokenizer("<|user|>What?<|assistant|>", add_special_tokens=False, return_tensors="pt")[
        "input_ids"
    ]
    new = local._model._model.generate(ids, max_new_tokens=16, do_sample=False, eos_token_id=1, pad_token_id=1)
    text = local._model.tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True)
    assert (completion.text, completion.prompt_tokens) == (text.rstrip("\ufffd"), ids.shape[1])


@pytest.mark.parametrize(
    ("prompt", "continuations"),
    [
        ("The answer is", (" two", " one of the letters", "?")),
        ("The answer is ", ("two", "one of the letters")),
        ("Question: what is tw", ("o plus two", "elve")),
        ("Let's ", (" think",)),
    ],
)
def test_log_likelihoods_are_those_of_a_plain_forward_pass(
    client: EngineClient, local: TransformersEngine, prompt: str, continuations: tuple[str, ...]
) -> None:
    [completion] = client.run([Request(prompt, continuations=continuations)], GREEDY)
    expected = [plain_loglikelihood(local, prompt, one) for one in continuations]
    assert completion.loglikelihoods == pytest.approx(expected, abs=2e-4)
    assert completion.finish_reason == "stop"
    assert completion.text == ""


def plain_loglikelihood(local: TransformersEngine, prompt: str, continuation: str) -> float:
    """lm-evaluation-harness, `_encode_pair` and `_loglikelihood_tokens`, without batches."""
    n_spaces = len(prompt) - len(prompt.rstrip())
    if n_spaces > 0:
        continuation, prompt = prompt[-n_spaces:] + continuation, prompt[:-n_spaces]
    encode: Any = local._model.tokenizer
    whole = torch.tensor([encode(prompt + continuation)["input_ids"]])
    before = len(encode(prompt)["input_ids"])
    logs = local._model._model(input_ids=whole).logits[0].log_softmax(-1)
    return sum(logs[n - 1, whole[0, n]].item() for n in range(before, whole.shape[1]))


def test_neighbours_do_not_change_log_likelihoods(client: EngineClient) -> None:
    requests = [Request("The answer " * n, continuations=(" two", " what is two plus")) for n in (1, 5, 9)]
    together = client.run(requests, GREEDY)
    for request, completion in zip(requests, together, strict=True):
        [alone] = client.run([request], GREEDY)
        assert alone.loglikelihoods == pytest.approx(completion.loglikelihoods, abs=2e-4)


def test_examples_that_do_not_fit_are_dropped_from_the_end(client: EngineClient) -> None:
    shots = tuple(f"{n}" + "~" * 149 for n in range(4))
    [completion] = client.run([Request("Now?", preamble="~" * 50, shots=shots)], GREEDY)
    [fitting] = client.run([Request("Now?", preamble="~" * 50, shots=shots[:2])], GREEDY)
    assert completion.shots_used == fitting.shots_used == 2
    assert completion.text == fitting.text
    assert completion.prompt_tokens == fitting.prompt_tokens
    assert completion.finish_reason != "error"


def test_a_prompt_that_does_not_fit_without_examples_is_an_error(client: EngineClient) -> None:
    long = Request("~" * 600, shots=("one", "two"))
    before, error, after = client.run([QUESTIONS[0], long, QUESTIONS[1]], GREEDY)
    assert error.finish_reason == "error"
    assert error.error is not None
    assert "context too long" in error.error
    assert (error.text, error.loglikelihoods) == ("", ())
    assert texts([before, after]) == texts(client.run(QUESTIONS[:2], GREEDY))


def test_a_context_too_small_for_the_longest_answer_makes_it_shorter(client: EngineClient) -> None:
    """Half as long, with the few-shot examples that fit beside that; the context has 512 tokens."""
    shots = ("~" * 150, "~" * 150)
    wordy, other = client.run([Request("Now?", shots=shots), Request("~" * 300)], replace(GREEDY, max_new_tokens=512))
    [plain] = client.run([Request("Now?", shots=shots[:1])], replace(GREEDY, max_new_tokens=256))
    assert (wordy.shots_used, wordy.text) == (1, plain.text)
    assert wordy.completion_tokens == plain.completion_tokens
    assert other.error is None
    assert other.completion_tokens is not None
    assert other.completion_tokens <= 128


def test_without_a_limit_an_answer_gets_what_the_context_has_left(client: EngineClient) -> None:
    """Local engines round the room down to a 64th of the context, so that prompts can share a batch."""
    room = CONTEXT // 64
    short, long, error = client.run([Request("Now?"), Request("~" * 500), Request("~" * 600)], Decoding())
    for one in (short, long):
        assert one.error is None
        assert one.finish_reason == "stop" or one.prompt_tokens + one.completion_tokens > CONTEXT - room  # type: ignore[operator]
    assert long.completion_tokens is not None
    assert long.completion_tokens <= CONTEXT - 500
    assert "context too long" in str(error.error)


def test_a_prompt_of_one_megabyte(client: EngineClient) -> None:
    error, answer = client.run([Request("two plus " * 120_000), QUESTIONS[0]], GREEDY)
    assert error.finish_reason == "error"
    assert answer.finish_reason != "error"


def test_an_empty_prompt_and_a_lone_surrogate_are_answered(client: EngineClient) -> None:
    empty, surrogate = client.run([Request(""), Request("lone \ud800 surrogate")], GREEDY)
    assert empty.finish_reason != "error"
    assert surrogate.finish_reason != "error"


def test_an_empty_batch(client: EngineClient) -> None:
    assert client.run([], GREEDY) == []


def test_images_for_a_model_without_vision_are_an_error(client: EngineClient) -> None:
    error, answer = client.run([Request("Look", images=(tiny.picture(1),)), QUESTIONS[0]], GREEDY)
    assert error.finish_reason == "error"
    assert error.error is not None
    assert "images" in error.error
    assert answer.finish_reason != "error"


def test_the_expert_was_loaded_once_for_all_tests(client: EngineClient) -> None:
    assert client.loads == 1
    assert {"engine", "model"} <= client.version().keys()


def texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]
