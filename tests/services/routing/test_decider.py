"""Decisions from a snapshot: by subject, by predicted score, with a fallback, and after the artifact was removed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import routing_world
from routing_world import APPLES, BRICKS

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Decider, decider
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, take_snapshot
from benchcoe_jobs.store.session import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


@pytest.fixture
def snapshot(world: Store) -> RoutingSnapshot:
    with world.reading() as connection:
        return take_snapshot(connection, "r")


class FixedModel(SimpleNamespace):
    """A router model with given predictions and familiarity."""

    def read(self, questions: list[RouterInput]) -> tuple[Any, Any]:
        n = len(questions)
        return np.array(self.predictions[:n]), None if self.familiarity is None else self.familiarity[:n]


def fixed(snapshot: RoutingSnapshot, level: Level = Level.SUBJECT, falls_back: bool = True, **model: Any) -> Decider:
    given = {"familiarity": None, "fallback": None} | model
    router = replace(snapshot.router, level=level.value)
    return Decider(replace(snapshot, router=router), FixedModel(**given), falls_back)  # type: ignore[arg-type]


def test_each_subject_goes_to_its_label(world: Store, tmp_path: Path, snapshot: RoutingSnapshot) -> None:
    chosen = decider(world, tmp_path, snapshot).choose([APPLES, BRICKS])
    assert [(c.expert, c.subject, c.why) for c in chosen] == [
        ("ann", "apples", "best on apples: 100.0 % measured over 20"),
        ("bob", "bricks", "best on bricks: 100.0 % measured over 20"),
    ]
    assert decider(world, tmp_path, snapshot).choose([]) == []


def test_a_label_that_no_expert_earns_is_given_as_the_reason() -> None:
    labels = routing_world.snapshot_by_hand().labels
    tied = replace(labels["bricks"], expert=None, mean=0.25, margin=0.0, tied=2)
    means = {"bricks": {"ann": np.nextafter(0.25, 1.0), "bob": 0.25}}
    snapshot = routing_world.snapshot_by_hand(labels={"bricks": tied}, means=means, costs={"ann": 5.0, "bob": 1.0})
    chooser = fixed(snapshot, outputs=("bricks",), predictions=[[1.0]])
    reason = "no expert is better than another on bricks (all have 25.0 %)"
    [choice] = chooser.choose([BRICKS])
    assert (choice.expert, choice.why) == ("ann", f"{reason}: the best single expert")
    [cheap] = chooser.choose([BRICKS], Budget(quality_weight=0.5))
    assert (cheap.expert, cheap.why) == ("bob", f"{reason}; expected cost 1")


def test_moved_labels_change_nothing_in_a_snapshot(world: Store, tmp_path: Path, snapshot: RoutingSnapshot) -> None:
    routing_world.train(world, tmp_path, pool="bobs")
    assert [c.expert for c in decider(world, tmp_path, snapshot).choose([APPLES, BRICKS])] == ["ann", "bob"]
    with world.reading() as connection:
        now = take_snapshot(connection, "r")
    assert [c.expert for c in decider(world, tmp_path, now).choose([APPLES, BRICKS])] == ["bob", "bob"]


def test_predicted_scores_and_the_first_of_equals(snapshot: RoutingSnapshot) -> None:
    predictions = [[0.25, 0.75], [0.5, 0.5]]
    chooser = fixed(snapshot, Level.QUERY, outputs=("bob", "ann"), predictions=predictions)
    ann, tie = chooser.choose([APPLES, BRICKS])
    assert (ann.expert, ann.subject, ann.confidence) == ("ann", None, 0.75)
    assert ann.why == "predicted score 0.750, then bob with 0.250"
    assert tie.expert == "ann", "the first by name"


def test_an_expert_that_left_is_not_chosen(snapshot: RoutingSnapshot) -> None:
    chooser = fixed(snapshot, Level.QUERY, outputs=("cat", "bob"), predictions=[[0.9, 0.1]])
    assert [(c.expert, c.why) for c in chooser.choose([APPLES])] == [("bob", "predicted score 0.100")]
    with pytest.raises(UsageError) as refused:
        fixed(snapshot, Level.QUERY, outputs=("cat",), predictions=[[0.9]]).choose([APPLES])
    assert str(refused.value) == (
        "no expert that router 'r' was trained on is eligible in pool 'all' any more: "
        "train it again with `benchcoe-jobs train-router`"
    )


def test_unfamiliar_questions_fall_back(snapshot: RoutingSnapshot) -> None:
    model = {
        "outputs": ("apples", "bricks"),
        "predictions": [[0.1, 0.9], [0.1, 0.9]],
        "familiarity": np.array([0.2, 0.3]),
        "fallback": SimpleNamespace(threshold=0.3),
    }
    far, near = fixed(snapshot, **model).choose([BRICKS, BRICKS])
    assert (far.expert, far.fell_back, near.expert, near.fell_back) == ("ann", True, "bob", False)
    assert far.why == (
        "unlike the training questions (familiarity 0.200, below 0.300): falls back to the best single expert"
    )
    assert [c.expert for c in fixed(snapshot, falls_back=False, **model).choose([BRICKS, BRICKS])] == ["bob", "bob"]
    capped = fixed(snapshot, **model).choose([BRICKS], Budget(quality_weight=0.0))[0]
    assert (capped.expert, capped.why.endswith("the best single expert; expected cost 1")) == ("ann", True)
    never_sure = fixed(snapshot, **model | {"fallback": SimpleNamespace(threshold=2.0)}).choose([BRICKS])[0]
    assert never_sure.why == (
        "training found no certain gain over the best single expert: falls back to the best single expert"
    )


def test_a_subject_without_an_eligible_expert(snapshot: RoutingSnapshot) -> None:
    [choice] = fixed(snapshot, outputs=("pears", "bricks"), predictions=[[0.9, 0.1]]).choose([APPLES])
    assert (choice.expert, choice.why) == ("ann", "no expert is eligible on pears: the best single expert")


def test_best_gives_columns_of_the_eligible_experts(snapshot: RoutingSnapshot) -> None:
    chooser = fixed(snapshot, outputs=("apples", "bricks"), predictions=[[0.9, 0.1], [0.2, 0.8]])
    estimates = chooser.estimate([APPLES, BRICKS])
    assert chooser.best(estimates, Budget()).tolist() == [0, 1]
    assert chooser.best(estimates.take(np.array([1])), Budget(max_cost=1.0)).tolist() == [0]


def test_a_removed_artifact_names_what_helps(world: Store, tmp_path: Path, snapshot: RoutingSnapshot) -> None:
    folder = tmp_path / snapshot.router.artifact
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="train the router again"):
        decider(world, tmp_path, snapshot)
    routing_world.train_on_more(world, tmp_path)
    with pytest.raises(UsageError, match="trained again after the job was submitted"):
        decider(world, tmp_path, snapshot)
