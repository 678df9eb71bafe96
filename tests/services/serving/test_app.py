"""Requests to a service: who answers, what the answer says, what the store has afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
import routing_world
from served_world import APPLES, BRICKS, World, chat, events, openai_client, said

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.serving import server as server_module
from benchcoe_jobs.services.serving.live_router import LiveRouter, LiveRouters
from benchcoe_jobs.services.serving.server import ServerOptions
from benchcoe_jobs.store.routing.tables import ServedDecision, ServedOutcome, ServedScore


def test_a_routed_request(world: World) -> None:
    body = chat(APPLES, temperature=0.5, unknown_field={"kept": [1]})
    [response] = world.post(body)
    answer = response.json()
    assert answer["choices"][0]["message"]["content"] == "ann says"
    assert answer["model"] == "ann"
    about = answer["benchcoe"]
    assert (about["router"], about["expert"], about["subject"]) == ("r", "ann", "apples")
    assert (about["chosen_by"], about["fallback"], about["substitute_for"]) == ("router", False, None)
    headers = {name: value for name, value in response.headers.items() if name.startswith("x-")}
    assert headers["x-benchcoe-decision-id"] == about["decision_id"]
    assert headers["x-benchcoe-selected-model"] == headers["x-vsr-selected-model"] == "ann"
    assert headers["x-vsr-selected-category"] == headers["x-benchcoe-subject"] == "apples"
    assert world.experts.seen == [("ann", "/v1/chat/completions", body | {"model": "ann-model"}, None)]

    [decision], [outcome] = world.rows(ServedDecision), world.rows(ServedOutcome)
    assert decision["id"] == outcome["decision_id"] == about["decision_id"]
    assert (decision["chosen_id"], decision["expert_id"], decision["propensity"]) == (1, 1, 1.0)
    assert (decision["subject"], decision["prompt"]) == ("apples", None)
    assert (outcome["status"], outcome["failure"], outcome["attempt"]) == (200, None, 1)
    assert (outcome["prompt_tokens"], outcome["completion_tokens"], outcome["cost"]) == (7, 2, 1.0)


def test_the_decision_is_stored_before_the_request_is_sent(world: World) -> None:
    stored = []

    async def reply(expert: str, _path: str, _body: dict[str, Any]) -> httpx2.Response:
        stored.append(len(world.rows(ServedDecision)))
        return said(expert)

    world.experts.reply = reply
    world.post(chat(APPLES), chat(BRICKS))
    assert stored == [1, 2]


@pytest.mark.parametrize("name", ["benchcoe/auto", "benchcoe/r", "auto"])
def test_names_that_are_routed(world: World, name: str) -> None:
    apples, bricks = world.post(chat(APPLES, name), chat(BRICKS, name))
    assert [apples.json()["model"], bricks.json()["model"]] == ["ann", "bob"]


def test_several_routers(world: World) -> None:
    routing_world.train(world.store, world.home, pool="bobs", name="s")
    sources = [world.source(), world.source(router="s")]
    names = ("benchcoe/auto", "benchcoe/r", "benchcoe/s")

    async def use(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        answers = [client.post("/v1/chat/completions", json=chat(APPLES, name)) for name in names]
        decided = client.post("/v1/router/decide", json={"question": APPLES, "model": "benchcoe/s"})
        unknown = client.post("/v1/router/decide", json={"question": APPLES, "model": "ann"})
        others = [client.get(path) for path in ("/v1/models", "/ready", "/metrics")]
        return await asyncio.gather(*answers, decided, unknown, *others)

    *answers, decided, unknown, models, ready, metrics = world.run(use, sources=sources)
    assert [answer.json()["model"] for answer in answers] == ["ann", "ann", "bob"]
    assert [answer.json()["benchcoe"]["router"] for answer in answers] == ["r", "r", "s"]
    assert (decided.json()["router"], decided.json()["expert"], unknown.status_code) == ("s", "bob", 400)
    assert [model["id"] for model in models.json()["data"]] == [*names, "auto", "ann", "bob"]
    assert [router["router"] for router in ready.json()["routers"]] == ["r", "s"]
    assert metrics.text.count("\nbenchcoe_router_info{") == 2
    assert len({row["snapshot_id"] for row in world.rows(ServedDecision)}) == 2

    routing_world.train(world.store, world.home, name="auto")
    live = [LiveRouter(source, source.load()) for source in (world.source(), world.source(router="auto"))]
    with pytest.raises(UsageError, match="benchcoe/auto is the first router"):
        LiveRouters(live)


def test_the_name_of_an_expert_is_not_routed(world: World) -> None:
    [response] = world.post(chat(APPLES, "bob"))
    assert response.json()["model"] == "bob"
    assert "benchcoe" not in response.json()
    assert response.headers["x-benchcoe-chosen-by"] == "client"
    assert world.rows(ServedDecision) == []


def test_openai_package(world: World) -> None:
    async def use(client: httpx2.AsyncClient) -> list[Any]:
        ours = openai_client(client)
        messages: Any = chat(BRICKS)["messages"]
        whole = await ours.chat.completions.create(model="benchcoe/auto", messages=messages)
        parts = await ours.chat.completions.create(model="benchcoe/auto", messages=messages, stream=True)
        streamed = [part async for part in parts]
        plain = await ours.completions.create(model="benchcoe/auto", prompt=APPLES)
        models = [model.id async for model in ours.models.list()]
        with pytest.raises(openai.NotFoundError, match="there is no model 'an'; there are ann"):
            await ours.chat.completions.create(model="an", messages=messages)
        return [whole, streamed, plain, models]

    whole, streamed, plain, models = world.run(use)
    assert (whole.model, whole.choices[0].message.content) == ("bob", "bob says")
    assert whole.benchcoe["subject"] == "bricks"
    assert "".join(part.choices[0].delta.content for part in streamed if part.choices) == "bob says"
    assert {part.model for part in streamed} == {"bob"}
    assert streamed[0].benchcoe["expert"] == "bob"
    assert streamed[-1].usage.completion_tokens == 2
    assert (plain.model, plain.choices[0].text) == ("ann", "ann says")
    assert models == ["benchcoe/auto", "benchcoe/r", "auto", "ann", "bob"]
    assert [(row["status"], row["completion_tokens"]) for row in world.rows(ServedOutcome)] == [(200, 2)] * 3


def test_a_stream_that_breaks_off(world: World) -> None:
    async def reply(*_: object) -> httpx2.Response:
        async def broken():  # type: ignore[no-untyped-def]
            yield events("a", end="").content[:-30]
            raise httpx2.ReadError("connection reset")

        return httpx2.Response(200, content=broken())

    world.experts.reply = reply
    [response] = world.post(chat(APPLES, stream=True))
    assert "expert 'ann' ended its stream too early" in response.text.splitlines()[-2]
    [outcome] = world.rows(ServedOutcome)
    assert (outcome["status"], outcome["failure"]) == (502, "expert 'ann' ended its stream too early")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "message"),
    [
        (httpx2.ConnectError("refused"), 502, "expert 'ann' cannot be reached: refused"),
        (httpx2.ReadTimeout("slow"), 504, "expert 'ann' does not answer in time"),
        (httpx2.Response(500, text="oops"), 502, "expert 'ann' answers 500"),
        (httpx2.Response(401, json={"error": {"message": "bad key"}}), 502, "expert 'ann' answers 401: bad key"),
        (httpx2.Response(429, headers={"retry-after": "7"}), 429, "expert 'ann' is busy"),
    ],
    ids=["connection", "timeout", "500", "401", "429"],
)
def test_an_expert_that_fails(world: World, stream: bool, failure: Any, status: int, message: str) -> None:
    async def reply(expert: str, _path: str, body: dict[str, Any]) -> httpx2.Response:
        if expert == "bob":
            return events("bob") if body.get("stream") else said("bob")
        if isinstance(failure, Exception):
            raise failure
        return httpx2.Response(failure.status_code, content=failure.content, headers=failure.headers)

    world.experts.reply = reply
    [refused] = world.post(chat(APPLES, stream=stream))
    assert refused.status_code == status
    assert refused.json()["error"]["message"].startswith(message)
    assert refused.headers.get("retry-after") == ("7" if status == 429 else None)
    assert [row[0] for row in world.experts.seen] == ["ann"], "another expert answers only if that was chosen"
    [outcome] = world.rows(ServedOutcome)
    assert (outcome["status"], outcome["cost"]) == (status, None)
    assert outcome["failure"].startswith(message)


def test_a_substitute_says_so(world: World) -> None:
    async def reply(expert: str, _path: str, body: dict[str, Any]) -> httpx2.Response:
        if expert == "bob":
            raise httpx2.ConnectError("refused")
        return events(expert) if body.get("stream") else said(expert)

    async def use(client: httpx2.AsyncClient) -> list[Any]:
        answers = [await client.post("/v1/chat/completions", json=chat(BRICKS, stream=s)) for s in (False, True)]
        return [*answers, (await client.get("/metrics")).text]

    world.experts.reply = reply
    whole, stream, metrics = world.run(use, substitutes=True)
    assert (whole.json()["model"], whole.json()["benchcoe"]["substitute_for"]) == ("ann", "bob")
    for response in (whole, stream):
        assert response.headers["x-benchcoe-substitute-for"] == "bob"
        assert response.headers["x-benchcoe-selected-model"] == "ann"
    assert '"substitute_for":"bob"' in stream.text
    assert 'benchcoe_substitute_total{expert="bob",reason="connection"} 2.0' in metrics
    found = [(row["attempt"], row["expert_id"], row["status"]) for row in world.rows(ServedOutcome)]
    assert found == [(1, 2, 502), (2, 1, 200)] * 2


def test_a_refusal_of_the_request_has_no_substitute(world: World) -> None:
    async def reply(*_: object) -> httpx2.Response:
        return httpx2.Response(400, json={"error": {"message": "too many tokens", "code": "context_length_exceeded"}})

    world.experts.reply = reply
    [response] = world.post(chat(BRICKS), substitutes=True)
    assert (response.status_code, len(world.experts.seen)) == (400, 1)
    error = response.json()["error"]
    assert (error["message"], error["code"], error["type"]) == (
        "too many tokens",
        "context_length_exceeded",
        "invalid_request_error",
    )


def test_shadow(world: World) -> None:
    named, routed = world.post(chat(APPLES, "bob"), chat(APPLES), shadow=True)
    assert named.json()["model"] == "bob"
    assert routed.status_code == 400
    assert "--shadow" in routed.json()["error"]["message"]
    [decision] = world.rows(ServedDecision)
    assert (decision["chosen_id"], decision["expert_id"], decision["propensity"]) == (1, 2, None)
    assert named.json()["benchcoe"]["chosen"] == "ann"


def test_exploration(world: World) -> None:
    responses = world.post(*[chat(APPLES)] * 40, explore=0.5)
    rows = world.rows(ServedDecision)
    assert {row["expert_id"] for row in rows} == {1, 2}
    assert {(row["chosen_id"], row["propensity"]) for row in rows} == {(1, 0.5)}
    by = {(response.json()["model"], response.json()["benchcoe"]["chosen_by"]) for response in responses}
    assert by == {("ann", "router"), ("bob", "exploration")}


def test_prompts_are_stored_on_request(world: World) -> None:
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "apples\\u0000 \\ud800"}]}'
    response = world.run(lambda client: client.post("/v1/chat/completions", content=body), logs_prompts=True)
    assert response.status_code == 200
    [row] = world.rows(ServedDecision)
    assert row["prompt"] == "apples\ufffd ?"
    assert len(row["prompt_hash"]) == 64


def test_decide_and_outcomes(world: World) -> None:
    async def use(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        decided = await client.post("/v1/router/decide", json={"question": BRICKS})
        id_ = decided.json()["decision_id"]
        bodies: list[dict[str, Any]] = [
            {"decision_id": id_, "score": 0.5, "source": "rater"},
            {"decision_id": id_, "score": 1},
            {"decision_id": "no", "score": 1},
            {"decision_id": id_, "score": 1.5},
            {"decision_id": id_, "score": True},
            {"decision_id": id_, "score": 1, "source": "a\nb"},
        ]
        return [decided, *[await client.post("/v1/router/outcomes", json=body) for body in bodies]]

    decided, *outcomes = world.run(use)
    found = decided.json()
    assert (found["expert"], found["chosen"], found["subject"]) == ("bob", "bob", "bricks")
    assert found["alternatives"] == [{"expert": "bob", "score": 1.0}, {"expert": "ann", "score": 0.5}]
    assert "best on bricks" in found["why"]
    assert [response.status_code for response in outcomes] == [200, 200, 404, 400, 400, 400]
    assert [(row["value"], row["source"]) for row in world.rows(ServedScore)] == [(1.0, None)]
    assert world.experts.seen == []


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
WITH_PICTURE = {"role": "user", "content": [PICTURE]}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "x"}]}, "names no model"),
        ("chat/completions", {"model": "auto", "messages": []}, "messages must be a list"),
        (
            "chat/completions",
            {"model": "auto", "messages": [{"role": "user", "content": [PICTURE]}]},
            "downloads nothing",
        ),
        ("completions", {"model": "auto", "prompt": ["a", "b"]}, "2 prompts"),
        ("completions", {"model": "auto", "prompt": [[1, 2]]}, "tokenized_requests=False"),
        ("completions", {"model": "auto"}, "neither messages nor a prompt"),
        ("router/decide", {"question": "x", "choices": "y"}, "neither messages nor a prompt"),
    ],
)
def test_requests_that_a_router_cannot_read(world: World, path: str, body: dict[str, Any], message: str) -> None:
    [response] = world.post(body, path=f"/v1/{path}")
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
    assert world.experts.seen == []


def test_pictures_and_tools_are_passed_on_untouched(world: World) -> None:
    uri = "data:image/png;base64,aGVsbG8="
    content = [{"type": "text", "text": APPLES}, {"type": "image_url", "image_url": {"url": uri, "detail": "low"}}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = {"model": "auto", "messages": [{"role": "user", "content": content}], "tools": tools, "tool_choice": "auto"}
    world.post(body)
    assert world.experts.seen[0][2] == body | {"model": "ann-model"}


def test_a_client_that_leaves_cancels_its_request(world: World) -> None:
    cancelled = asyncio.Event()

    async def reply(*_: object) -> httpx2.Response:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return said("late")

    async def use(client: httpx2.AsyncClient) -> None:
        app: Any = client._transport.app  # type: ignore[attr-defined]
        messages = [{"type": "http.request", "body": b'{"model":"auto","messages":[{"role":"user","content":"x"}]}'}]

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(_message: object) -> None:
            pass

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b""}
        await app(scope, receive, send)
        await asyncio.wait_for(cancelled.wait(), 5)

    world.experts.reply = reply
    world.run(use)
    assert [row["status"] for row in world.rows(ServedOutcome)] == [499]


def test_a_client_that_leaves_a_stream_ends_it(world: World) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b'data: {"choices": []}\n\n'
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async def reply(*_: object) -> httpx2.Response:
        return httpx2.Response(200, content=endless())

    async def use(client: httpx2.AsyncClient) -> None:
        app: Any = client._transport.app  # type: ignore[attr-defined]
        body = b'{"model":"auto","stream":true,"messages":[{"role":"user","content":"x"}]}'
        messages, first_part = [{"type": "http.request", "body": body}], asyncio.Event()

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await first_part.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message.get("body"):
                first_part.set()

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b""}
        await asyncio.wait_for(app(scope, receive, send), 5)
        await asyncio.wait_for(closed.wait(), 5)

    world.experts.reply = reply
    world.run(use)
    [outcome] = world.rows(ServedOutcome)
    assert (outcome["status"], outcome["failure"]) == (499, "the client left")


def test_the_longest_time_of_a_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reply(*_: object) -> httpx2.Response:
        await asyncio.sleep(60)
        return said("late")

    world.experts.reply = reply
    monkeypatch.setattr(server_module, "_ANSWER_S", -599.9)  # experts may take 600 seconds
    with pytest.raises(TimeoutError):  # uvicorn closes the connection
        world.post(chat(APPLES))
    assert [row["status"] for row in world.rows(ServedOutcome)] == [499]


def test_without_a_log(world: World) -> None:
    [answered] = world.post(chat(APPLES), server=ServerOptions(logs=False))
    [refused] = world.post(
        {"decision_id": "x", "score": 1}, path="/v1/router/outcomes", server=ServerOptions(logs=False)
    )
    assert (answered.status_code, refused.status_code) == (200, 409)
    assert world.rows(ServedDecision) == []


def test_health_readiness_and_metrics(world: World) -> None:
    async def use(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        for name in ("auto", "none"):
            await client.post("/v1/chat/completions", json=chat(APPLES, name))
        while (await client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.01)
        return [await client.get(path) for path in ("/health", "/ready", "/metrics", "/v1/nothing")]

    health, ready, metrics, nothing = world.run(use)
    assert health.status_code == 200
    [router] = ready.json()["routers"]
    assert (router["router"], ready.json()["waiting_for"]) == ("r", [])
    assert f'fingerprint="{router["fingerprint"]}",router="r"' in metrics.text
    assert 'benchcoe_requests_total{code="200",expert="ann",router="r"} 1.0' in metrics.text
    assert 'benchcoe_tokens_total{expert="ann",kind="completion"} 2.0' in metrics.text
    assert 'benchcoe_refused_total{code="404"} 1.0' in metrics.text
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "not_found")


def test_a_service_whose_experts_are_away_is_not_ready(world: World) -> None:
    world.experts.is_away = True

    async def use(client: httpx2.AsyncClient) -> httpx2.Response:
        await asyncio.sleep(0.01)
        return await client.get("/ready")

    ready = world.run(use)
    assert (ready.status_code, ready.json()["waiting_for"]) == (503, ["ann", "bob"])
