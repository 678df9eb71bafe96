"""Training sets by hand: targets by level, missing scores, and the validation split with the same columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tables
from routing_world import row

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.labelling.scope import find_scope
from benchcoe_jobs.services.training.training_set import TrainingSet, learnable_experts
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    """Three queries; bob has no score on the last, and cat none at all. Coverage of a half is enough."""
    tables.add_experts(store, ann=1.0, bob=2.0, cat=3.0)
    queries = [("apples", 1), ("bricks", 2), ("bricks", 3)]
    tables.bring(store, tmp_path, "ann", *(row(s, n, v) for (s, n), v in zip(queries, (1.0, 0.0, 0.5), strict=True)))
    tables.bring(store, tmp_path, "bob", *(row(s, n, 1.0) for s, n in queries[:2]))
    tables.bring(store, tmp_path, "bob", row("apples", 9, 0.25, "validation"))
    with store.writing() as connection:
        experts.set_min_coverage(connection, experts.find_pool(connection, "all"), 0.5)
    return store


def read(store: Store, level: Level) -> TrainingSet:
    with store.reading() as connection:
        return TrainingSet.read(connection, find_scope(connection, "all", None, "train"), level)


def test_query_level_targets_are_the_scores(world: Store) -> None:
    found = read(world, Level.QUERY)
    expected = [[1.0, 1.0], [0.0, 1.0], [0.5, np.nan]]
    assert found.outputs == found.names == ("ann", "bob")
    np.testing.assert_array_equal(found.scores, expected)
    np.testing.assert_array_equal(found.examples.targets, expected)
    assert list(found.examples.subjects) == ["apples", "bricks", "bricks"]
    assert found.examples.questions[0].text == "how many apples in case 1"


def test_subject_level_targets_are_one_hot(world: Store) -> None:
    found = read(world, Level.SUBJECT)
    assert (found.outputs, found.names) == (("apples", "bricks"), ("ann", "bob"))
    assert found.examples.targets.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert found.calibration_scores is found.scores


def test_the_validation_split_has_the_same_columns(world: Store) -> None:
    with world.reading() as connection:
        found = read(world, Level.QUERY).validation(connection)
    assert found is not None
    assert found.names == ("ann", "bob")
    np.testing.assert_array_equal(found.scores, [[np.nan, 0.25]])


def test_a_validation_split_without_a_usable_question(world: Store) -> None:
    with world.reading() as connection:
        scope = find_scope(connection, "all", None, "validation")
        own = TrainingSet.read(connection, scope, Level.QUERY)
        assert own.validation(connection) is None, "the split is the training split itself"
        without_apples = replace(read(world, Level.SUBJECT), outputs=("bricks",))
        assert without_apples.validation(connection) is None, "its only question is about apples"


def test_learnable_experts_have_a_score(world: Store) -> None:
    with world.reading() as connection:
        scope = find_scope(connection, "all", None, "train")
        assert learnable_experts(connection, scope) == ("ann", "bob")


def test_a_scope_without_a_text(world: Store) -> None:
    with world.reading() as connection, pytest.raises(UsageError, match="split test, has a text to learn from"):
        TrainingSet.read(connection, find_scope(connection, "all", None, "test"), Level.QUERY)
