"""A cascade with a budget: the first expert, who may not be asked, and commands that need one decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cascade_world
import pytest
from sqlalchemy import update

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.cascades.weights import WEIGHTS
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.cascading import CascadeDecider, first_choices
from benchcoe_jobs.services.routing.decider import Choice, current_decider, load_model
from benchcoe_jobs.services.routing.snapshot import take_snapshot
from benchcoe_jobs.services.training.train import extend_router
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Expert

QUESTIONS = [RouterInput("how many apples in case 900"), RouterInput("how many bricks in case 900")]

CHEAP = Budget(quality_weight=0.0)


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    cascade_world.fill(store, tmp_path)
    cascade_world.train(store, tmp_path)
    return store


def firsts(store: Store, home: Path, budget: Budget) -> list[Choice]:
    return first_choices(store, home, "c", QUESTIONS, budget)[1]


def test_the_first_expert_and_what_may_follow(world: Store, tmp_path: Path) -> None:
    for choice in firsts(world, tmp_path, Budget(quality_weight=0.85)):
        assert choice.expert in ("ann", "bob")
        assert "is asked first, then perhaps" in choice.why
        assert "; expected cost 1" in choice.why
    assert first_choices(world, tmp_path, "c", [], Budget())[1] == []


def test_an_expert_that_left_the_pool_is_not_asked(world: Store, tmp_path: Path) -> None:
    before = {choice.expert for choice in firsts(world, tmp_path, CHEAP)}
    with world.writing() as connection:
        for name in before:
            experts.set_retired(connection, name, True)
    after = {choice.expert for choice in firsts(world, tmp_path, CHEAP)}
    assert after
    assert not before & after


def test_if_all_of_the_cheap_chains_left_the_next_dearer_one_is_followed(world: Store, tmp_path: Path) -> None:
    with world.writing() as connection:
        experts.set_retired(connection, "cat", True)
        snapshot = take_snapshot(connection, "c")
    model = load_model(world, tmp_path, snapshot)
    cascade = CascadeDecider(snapshot, model, CHEAP).cascade
    gone, stays = (replace(cascade.chains[0], columns=(model.outputs.index(name),)) for name in ("cat", "ann"))
    model.head._cascade = replace(cascade, chains=(gone, stays), chain_of=(0, 0, *[1] * (len(WEIGHTS) - 2)))
    decider = CascadeDecider(snapshot, model, CHEAP)
    assert decider.quality_weight == WEIGHTS[2]
    assert decider.chain == ["ann"]


def test_an_expert_above_the_limit_is_not_named_as_one_that_may_follow(world: Store, tmp_path: Path) -> None:
    for choice in firsts(world, tmp_path, Budget(max_cost=5.0)):
        assert "cat" not in choice.why


def test_a_command_that_needs_one_decision_refuses_a_cascade(world: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="router 'c' is a cascade"):
        current_decider(world, tmp_path, "c")
    with pytest.raises(UsageError, match="train it again"):
        extend_router(world, tmp_path, "c")


def test_costs_that_were_unknown_in_training_are_asked_for(store: Store, tmp_path: Path) -> None:
    cascade_world.fill(store, tmp_path, costs=False)
    cascade_world.train(store, tmp_path)
    assert firsts(store, tmp_path, Budget())
    with pytest.raises(UsageError, match=r"the cost of .* is not known"):
        firsts(store, tmp_path, Budget(quality_weight=0.5))
    with store.writing() as connection:
        connection.execute(update(Expert).values(cost=1.0))
    with pytest.raises(UsageError, match="was not known when router 'c' was trained"):
        firsts(store, tmp_path, Budget(quality_weight=0.5))


def test_the_weight_of_its_own_keeps_the_accuracy_of_the_best_expert(world: Store, tmp_path: Path) -> None:
    trained = cascade_world.train(world, tmp_path)
    assert trained.auto_weight is not None
    assert trained.auto_weight.gain >= 0
    assert trained.auto_weight.cost_share <= 1
    assert firsts(world, tmp_path, Budget(quality_weight="auto"))
