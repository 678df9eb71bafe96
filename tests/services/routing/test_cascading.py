"""A cascade with a budget: the first expert, who may not be asked, and commands that need one decision."""

from __future__ import annotations

from pathlib import Path

import cascade_world
import pytest
from sqlalchemy import update

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.cascading import first_choices
from benchcoe_jobs.services.routing.decider import Choice, current_decider
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
