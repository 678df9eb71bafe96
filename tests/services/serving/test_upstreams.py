"""Endpoints of experts: their keys, the cost of answers, the command that starts one."""

from __future__ import annotations

from typing import Any

import pytest
from served_world import APPLES, World, chat

from benchcoe_jobs.errors import MissingError
from benchcoe_jobs.services.serving.upstreams import Upstream, vllm_command
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow


def upstream(**prices: float) -> Upstream:
    given: dict[str, Any] = {"cost": None, "price_in": None, "price_out": None, "price_gpu_second": None}
    return Upstream("e", 1, "http://e/v1", "m", "", 600.0, **given | prices)


@pytest.mark.parametrize(
    ("prices", "tokens", "cost"),
    [
        ({"price_in": 1.0, "price_out": 2.0}, (1_000_000, 500_000), 2.0),
        ({"price_out": 2.0}, (None, 500_000), 1.0),
        ({"price_in": 1.0, "cost": 0.3}, (None, None), 0.3),
        ({"price_in": 1.0, "price_gpu_second": 0.5}, (None, None), 2.0),
        ({"cost": 0.3}, (9, 9), 0.3),
        ({}, (9, 9), None),
    ],
)
def test_the_cost_of_an_answer(prices: dict[str, float], tokens: tuple[int | None, int | None], cost: float) -> None:
    assert upstream(**prices).cost_of(*tokens, seconds=4.0) == cost


def test_keys_are_sent_to_their_own_endpoint_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints = {"ann": {"key_env": "ANN_KEY"}}
    with pytest.raises(MissingError, match="ANN_KEY"):
        world.source(endpoints=endpoints).load()
    monkeypatch.setenv("ANN_KEY", "of-ann")
    world.post(chat(APPLES), chat(APPLES, "bob"), sources=[world.source(endpoints=endpoints)])
    assert [(expert, key) for expert, _, _, key in world.experts.seen] == [("ann", "Bearer of-ann"), ("bob", None)]


def test_a_missing_key_of_an_expert_that_is_not_chosen(world: World) -> None:
    other = ExpertRow("carol", "openai", "m", settings={"base_url": "http://carol.test/v1", "api_key_env": "NO_KEY"})
    with world.store.writing() as connection:
        experts.add_expert(connection, other)
    assert set(world.source().load().upstreams) == {"ann", "bob"}


def test_the_command_of_vllm() -> None:
    settings = {"tensor_parallel": 2, "max_model_len": 4096, "trust_remote_code": True}
    assert vllm_command(ExpertRow("e", "vllm", "org/m", "main", settings), 8001) == (
        "vllm serve org/m --port 8001 --revision main --max-model-len 4096 --tensor-parallel-size 2 --trust-remote-code"
    )
    assert vllm_command(ExpertRow("e", "recorded"), 8000).startswith("# e: its results were imported")
