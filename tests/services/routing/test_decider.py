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
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.routers.model import Reading
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Decider, decider
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, keep_snapshot, take_snapshot
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.job_queue import jobs
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

    def read(self, questions: list[RouterInput]) -> Reading:
        n = len(questions)
        familiarity = None if self.familiarity is None else self.familiarity[:n]
        return Reading(np.array(self.predictions[:n]), familiarity, np.array(self.is_known[:n]))


def fixed(snapshot: RoutingSnapshot, level: Level = Level.SUBJECT, falls_back: bool = True, **model: Any) -> Decider:
    given = {"kind": "tfidf", "familiarity": None, "fallback": None, "is_known": [True] * 9} | model
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


def test_a_question_without_text_or_known_words_is_reported(snapshot: RoutingSnapshot) -> None:
    model: dict[str, Any] = {
        "outputs": ("apples", "bricks"),
        "predictions": [[0.1, 0.9]] * 3,
        "familiarity": np.zeros(3),
        "fallback": SimpleNamespace(threshold=0.3),
        "is_known": [False, False, True],
    }
    questions = [RouterInput(" \n", ("", " ")), RouterInput("zzz"), BRICKS]
    assert [choice.why for choice in fixed(snapshot, **model).choose(questions)][:2] == [
        "the question has no text: falls back to the best single expert",
        "no word of the question occurred in training: falls back to the best single expert",
    ]
    same = "and every such question gets the same expert: best on bricks: 100.0 % measured over 20"
    routed = fixed(snapshot, falls_back=False, **model).choose(questions)
    assert [choice.why for choice in routed] == [
        f"the question has no text, {same}",
        f"no word of the question occurred in training, {same}",
        "best on bricks: 100.0 % measured over 20",
    ]
    by_score = fixed(snapshot, Level.QUERY, outputs=("ann", "bob"), predictions=[[0.1, 0.9]]).choose([RouterInput("")])
    assert by_score[0].why.startswith(
        "the question has no text, and every such question gets the same expert: predicted"
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
    with pytest.raises(InputError, match="is not on this machine, although the store names it"):
        decider(world, tmp_path, snapshot)
    routing_world.train_on_more(world, tmp_path)
    with pytest.raises(UsageError, match="'r' was trained again in the meantime, and its earlier artifact is removed"):
        decider(world, tmp_path, snapshot)


def test_a_damaged_artifact_of_an_earlier_router_is_called_damaged(
    world: Store, tmp_path: Path, snapshot: RoutingSnapshot
) -> None:
    with world.writing() as connection:
        kept = keep_snapshot(connection, "r")
        jobs.open_job(connection, "evaluate", {"snapshot": kept.fingerprint})
    routing_world.train_on_more(world, tmp_path)
    (tmp_path / snapshot.router.artifact / "weights.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"weights\.safetensors is damaged"):
        decider(world, tmp_path, snapshot)


def test_another_router_in_the_place_of_the_artifact_is_refused(
    world: Store, tmp_path: Path, snapshot: RoutingSnapshot
) -> None:
    options = {"kind": "tfidf", "head": None, "pool": "all", "benchmark": None, "split": "train"}
    train_router(world, tmp_path, "other", level=Level.QUERY, **options)
    with world.reading() as connection:
        other = take_snapshot(connection, "other")
    shutil.rmtree(tmp_path / snapshot.router.artifact)
    shutil.copytree(tmp_path / other.router.artifact, tmp_path / snapshot.router.artifact)
    with pytest.raises(InputError, match="it is another router than the one that the store names"):
        decider(world, tmp_path, snapshot)


def seen(text: str) -> RouterInput:
    return RouterInput(text, pictures=(Picture.of(b"a picture"),))


def test_an_expert_that_cannot_see_is_not_chosen_for_pictures() -> None:
    snapshot = routing_world.snapshot_by_hand(blind=["ann", "eve"])
    of_ann = fixed(snapshot, outputs=("apples", "bricks"), predictions=[[0.9, 0.1]] * 2)
    with_picture, without = of_ann.choose([seen("apples"), RouterInput("apples")])
    assert (with_picture.expert, without.expert) == ("bob", "ann")
    assert with_picture.why.endswith("; ann cannot see its pictures")
    assert "see" not in without.why
    by_score = fixed(snapshot, Level.QUERY, outputs=("ann", "bob"), predictions=[[0.9, 0.1]])
    assert by_score.choose([seen("apples")])[0].expert == "bob"
    far = fixed(
        snapshot,
        outputs=("apples", "bricks"),
        predictions=[[0.9, 0.1]],
        familiarity=np.array([0.0]),
        fallback=SimpleNamespace(threshold=0.5),
    )
    assert far.choose([seen("apples")])[0].expert == "bob", "neither is the best single expert"


def test_a_picture_that_no_expert_can_see_is_refused() -> None:
    blind = fixed(
        routing_world.snapshot_by_hand(blind=["ann", "bob"]), outputs=("apples", "bricks"), predictions=[[0.9, 0.1]]
    )
    assert blind.choose([RouterInput("apples")])[0].expert == "ann"
    with pytest.raises(UsageError, match="no expert that router 'r' may choose can see"):
        blind.choose([seen("apples")])
