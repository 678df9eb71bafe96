"""Log-likelihoods of answer options: all options of a question go to one expert, or the request is refused."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from served_world import World, said

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.services.serving.loglikelihood import StoredQuestions, asks_for_loglikelihoods
from benchcoe_jobs.store.routing.tables import ServedDecision

PLAIN = "/v1/completions"
OPTIONS = ("4", "apples and bricks", "none of the bricks", "how many")


def option(text: str, question: str = "how many apples in case 3", model: str = "benchcoe/auto") -> dict[str, Any]:
    """The request of lm-eval's local-completions for an option, behind a worked example."""
    prompt = f"how many bricks in case 1\nAnswer: 1\n\n{question}\nAnswer: {text}"
    return {"model": model, "prompt": [prompt], "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0}


def tokenizers(**tokens: Any) -> Any:
    """Experts whose endpoints tell these tokens of any text."""

    async def reply(expert: str, path: str, _body: dict[str, Any]) -> httpx2.Response:
        if path == "/tokenize":
            found = tokens.get(expert)
            return httpx2.Response(404) if found is None else httpx2.Response(200, json={"tokens": found})
        return said(expert)

    return reply


def test_all_options_of_a_question_go_to_one_expert(world: World) -> None:
    world.experts.reply = tokenizers(ann=[1, 2], bob=[1, 2])
    questions = ("how many apples in case 3", "how many bricks in case 7")
    bodies = [option(text, question) for question in questions for text in OPTIONS]
    responses = world.post(*bodies, path=PLAIN, explore=0.5)
    models = [response.json()["model"] for response in responses]
    assert len(set(models[:4])) == len(set(models[4:])) == 1
    assert len(world.rows(ServedDecision)) == 8
    assert [row["subject"] for row in world.rows(ServedDecision)] == ["apples"] * 4 + ["bricks"] * 4


@pytest.mark.parametrize(
    ("tokens", "body", "message"),
    [
        ({"ann": [1, 2], "bob": [1, 3]}, option("4"), "bob and ann have different tokenizers"),
        ({"ann": [1, 2]}, option("4"), "bob does not tell its tokens at /tokenize"),
        ({"ann": [1], "bob": [1]}, option("4") | {"prompt": "which is larger, 3 or 4"}, "and none was found"),
        ({"ann": [1], "bob": [1]}, option("4") | {"prompt": [[5, 6]]}, "tokenized_requests=False"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    world: World, tokens: dict[str, Any], body: dict[str, Any], message: str
) -> None:
    world.experts.reply = tokenizers(**tokens)
    [response] = world.post(body, path=PLAIN)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
    assert world.rows(ServedDecision) == []


def test_the_name_of_an_expert_takes_token_ids_untouched(world: World) -> None:
    body = option("4", model="bob") | {"prompt": [[5, 6]]}
    world.post(body, path=PLAIN)
    assert world.experts.seen == [("bob", PLAIN, body | {"model": "bob-model"}, None)]


@pytest.mark.parametrize(("bob", "status"), [([1, 2], 200), ([3], 404)])
def test_the_tokenizer_of_all_experts(world: World, bob: list[int], status: int) -> None:
    world.experts.reply = tokenizers(ann=[1, 2], bob=bob)
    [response] = world.post({"prompt": "a", "add_special_tokens": False}, path="/tokenize")
    assert response.status_code == status
    assert response.json().get("tokens") == ([1, 2] if status == 200 else None)


def test_an_expert_that_fails_has_no_substitute_for_one_option(world: World) -> None:
    same = tokenizers(ann=[1], bob=[1])

    async def reply(expert: str, path: str, body: dict[str, Any]) -> httpx2.Response:
        if path == PLAIN and expert == "bob":
            raise httpx2.ConnectError("refused")
        response: httpx2.Response = await same(expert, path, body)
        return response

    world.experts.reply = reply
    [response] = world.post(option("4", "how many bricks in case 7"), path=PLAIN, substitutes=True)
    assert response.status_code == 502


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"echo": True, "logprobs": 1}, True),
        ({"echo": True, "logprobs": 0}, True),
        ({"prompt_logprobs": 0}, True),
        ({"logprobs": 5}, False),
        ({"echo": True}, False),
        ({"echo": False, "logprobs": 1}, False),
    ],
)
def test_which_requests_ask_for_log_likelihoods(body: dict[str, Any], expected: bool) -> None:
    assert asks_for_loglikelihoods(body) is expected


def test_the_last_and_longest_stored_question_counts() -> None:
    short, long = RouterInput("what is the capital of"), RouterInput("what is the capital of France", ("Paris", "Rome"))
    other = RouterInput("which river is the longest")
    questions = StoredQuestions([short, other, long, RouterInput("tiny")])
    assert questions.last_in(f"Q: {other.text}\nA: Nile\nQ: {long.text}\nA: Paris") is long
    assert questions.last_in(f"{long.text}?\n{other.text}") is other
    assert questions.last_in("tiny") is None
