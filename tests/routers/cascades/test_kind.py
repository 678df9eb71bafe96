"""The kind `cascade`: what it is learned from, and that a saved router decides as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cascade_world
import numpy as np
import pytest

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.cascades.answers import Answers
from benchcoe_jobs.routers.cascades.head import CascadeHead
from benchcoe_jobs.routers.cascades.weights import WEIGHTS
from benchcoe_jobs.routers.model import RouterModel, new_trainer

OUTPUTS = ("ann", "bob", "cat")


def examples(n: int = 200) -> Examples:
    _, answers, scores = cascade_world.arrays(n)
    subjects = ["apples" if row % 2 else "bricks" for row in range(n)]
    questions = [RouterInput(f"how many {subject} in case {row}") for row, subject in enumerate(subjects)]
    return Examples(questions, subjects, scores, answers)


def trained(of: Examples) -> RouterModel:
    return new_trainer(Level.QUERY, "cascade", None, TrainingContext()).fit(OUTPUTS, of)


def test_a_saved_cascade_decides_as_before(tmp_path: Path) -> None:
    known = examples()
    model = trained(known)
    loaded = artifact.load(tmp_path / "c", artifact.save(model, tmp_path / "c"))
    assert artifact.save(trained(known), tmp_path / "again") == artifact.save(loaded, tmp_path / "c")
    nothing = Answers.none([4] * len(known.questions), 3)
    firsts = []
    for one in (model, loaded):
        assert isinstance(one.head, CascadeHead)
        assert one.head.config()["n_learned"] == len(known.questions)
        predictions = one.predict(known.questions)
        nowhere = nothing.is_known
        firsts.append([one.head.cascade.next_expert(predictions, nothing, nowhere, w, nowhere) for w in WEIGHTS])
    np.testing.assert_array_equal(*firsts)


def test_an_expert_without_responses_is_not_asked() -> None:
    known = examples()
    assert known.answers is not None
    is_known = known.answers.is_known.copy()
    is_known[:, 1] = False
    is_known[:7, 0] = False
    head = trained(replace(known, answers=replace(known.answers, is_known=is_known))).head
    assert isinstance(head, CascadeHead)
    assert {column for chain in head.cascade.chains for column in chain.columns} <= {0, 2}
    assert head.n_learned == len(known.questions) - 7


def test_too_few_responses_are_refused() -> None:
    known = examples()
    assert known.answers is not None
    one = known.answers.is_known & np.array([True, False, False])
    with pytest.raises(UsageError, match="1 of 3 experts have responses to half of the questions"):
        trained(replace(known, answers=replace(known.answers, is_known=one)))
    with pytest.raises(UsageError, match="these are 40; it needs 50"):
        trained(examples(40))
    with pytest.raises(UsageError, match="no subject-level routers"):
        new_trainer(Level.SUBJECT, "cascade", None, TrainingContext())
    with pytest.raises(UsageError, match="the revision is that of the text encoder"):
        new_trainer(Level.QUERY, "cascade", None, TrainingContext(revision="main"))


def test_dense_features_are_read_by_the_head_of_blend() -> None:
    known = examples()
    x = np.random.default_rng(0).normal(size=(len(known.questions), 8))
    head = CascadeHead()
    head.fit(x, known)
    assert head.config()["text"] == "blend"
    restored = CascadeHead.restore(head.config(), head.arrays())
    np.testing.assert_array_equal(restored.predict(x), head.predict(x))
    assert restored.cascade.config() == head.cascade.config()
