"""The router of a running service is replaced without a dropped request, and stays if it cannot be replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
import routing_world
import tables
from served_world import APPLES, BRICKS, World, chat, said
from sqlalchemy import update

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import BenchcoeError, InputError, UsageError
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.serving.live_router import LiveRouter
from benchcoe_jobs.services.serving.server import ServerOptions
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.routing.tables import RoutingSnapshot
from benchcoe_jobs.store.tables import Expert


def swap_experts(world: World, folder: Path) -> None:
    """From now on bob is better at apples."""
    for expert, score in (("ann", 0.0), ("bob", 1.0)):
        rows = [routing_world.row("apples", n, score) for n in range(routing_world.N_TRAIN)]
        tables.bring(world.store, folder, expert, *rows, replace=True)


def answers(router: LiveRouter, *texts: str) -> list[Any]:
    """The expert for each text, or the error."""
    found = router.verdicts([RouterInput(text) for text in texts])
    return [one if isinstance(one, Exception) else one.choice.expert for one in found]


def live(world: World, **source: Any) -> LiveRouter:
    given = world.source(**source)
    return LiveRouter(given, given.load())


def test_questions_are_decided_together_as_alone(world: World) -> None:
    router = live(world)
    alone = [answers(router, text)[0] for text in (APPLES, BRICKS)]
    assert alone == ["ann", "bob"]
    assert answers(router, *[APPLES, BRICKS] * 40) == alone * 40


def test_a_question_that_fails_does_not_fail_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    router = live(world)
    estimate = type(router.loaded.decider).estimate

    def fails(decider: Any, questions: list[RouterInput]) -> Any:
        if any(question.text == "bad" for question in questions):
            raise UsageError("cannot be read")
        return estimate(decider, questions)

    monkeypatch.setattr(type(router.loaded.decider), "estimate", fails)
    first, failed, last = answers(router, APPLES, "bad", BRICKS)
    assert (first, last) == ("ann", "bob")
    assert isinstance(failed, UsageError)


def test_labels_that_move_are_followed_without_a_dropped_request(world: World, tmp_path: Path) -> None:
    world.experts.reply = slowly

    async def use(client: httpx2.AsyncClient) -> list[httpx2.Response]:
        responses = [await client.post("/v1/chat/completions", json=chat(APPLES))]
        await asyncio.to_thread(swap_experts, world, tmp_path)
        while responses[-1].json()["model"] != "bob":
            some = [client.post("/v1/chat/completions", json=chat(APPLES)) for _ in range(4)]
            responses += await asyncio.gather(*some)
        return [*responses, await client.get("/ready")]

    *responses, ready = world.run(use, server=ServerOptions(reload_s=0.05))
    assert {response.status_code for response in responses} == {200}
    [old, new] = world.rows(RoutingSnapshot)
    assert ready.json()["routers"][0]["fingerprint"] == new["fingerprint"] != old["fingerprint"]


async def slowly(expert: str, *_: object) -> httpx2.Response:
    await asyncio.sleep(0.01)
    return said(expert)


def test_a_router_that_cannot_be_replaced_stays(world: World, tmp_path: Path) -> None:
    async def use() -> tuple[bool, str | None, list[str], bool, str | None]:
        router = live(world)
        with world.store.writing() as connection:
            connection.execute(update(Expert).where(Expert.name == "bob").values(settings={}))
        failed = await router.reload(), router.failure, answers(router, BRICKS)
        with world.store.writing() as connection:
            experts.set_retired(connection, "bob", True)
        after = await router.reload(), router.failure
        return *failed, *after

    moved, failure, chosen, moved_later, failure_later = asyncio.run(use())
    assert (moved, chosen) == (False, ["bob"])
    assert "may choose bob, of which no address is known" in str(failure)
    assert "vllm serve bob-model --port 8000" in str(failure)
    assert (moved_later, failure_later) == (True, None)


def test_a_snapshot_that_was_removed_is_stored_again(world: World) -> None:
    async def use(client: httpx2.AsyncClient) -> httpx2.Response:
        with world.store.writing() as connection:
            snapshots.remove_unused(connection)
        while (response := await client.post("/v1/chat/completions", json=chat(APPLES))).status_code == 503:
            pass
        return response

    assert world.run(use, server=ServerOptions(reload_s=0.05)).status_code == 200


def test_it_does_not_start_with_a_damaged_artifact(world: World) -> None:
    [weights] = (world.home / "routers" / "r").rglob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError):
        world.source().load()


def test_it_does_not_start_with_a_budget_that_no_request_could_keep(world: World) -> None:
    with world.store.writing() as connection:
        connection.execute(update(Expert).values(cost=None))
    with pytest.raises(UsageError, match=r"the cost of ann, bob.* is not known"):
        world.source(budget=Budget(quality_weight=0.5)).load()
    with world.store.writing() as connection:
        connection.execute(update(Expert).values(cost=2.0))
    with pytest.raises(UsageError, match="no expert is expected to cost at most 1 a query"):
        world.source(budget=Budget(max_cost=1.0)).load()


def test_it_does_not_start_without_the_endpoints_of_its_experts(world: World) -> None:
    with world.store.writing() as connection:
        values = {"engine": "vllm", "model": "org/a b", "revision": "v1", "settings": {"dtype": "float16"}}
        connection.execute(update(Expert).where(Expert.name == "ann").values(values))
    with pytest.raises(BenchcoeError) as refused:
        world.source().load()
    assert "vllm serve 'org/a b' --port 8000 --revision v1 --dtype float16" in str(refused.value)
    loaded = world.source(endpoints={"ann": {"url": "http://other.test/v1/", "model": "served"}}).load()
    upstream = loaded.upstreams["ann"]
    assert (upstream.url, upstream.model) == ("http://other.test/v1", "served")
