"""A router that knows what it does not know: calibrated by subjects left out, kept through a round trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchcoe_jobs.cli.router import train_router
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.fallback import DEFAULT_MAX_FALLBACK
from benchcoe_jobs.routers.model import RouterModel, new_trainer

SUBJECTS = ("apples", "bricks", "clouds", "drums", "engines", "ferns")
EXPERTS = ("ann", "bob")
FORMS = ["how many {} are there in case {}", "tell me of {} and of {}", "why would {} be worth {}", "{} or {} pieces"]
FOREIGN = [RouterInput("zebra crossings paint themselves"), RouterInput("quantum yoghurt")]


def lesson(level: Level, transfers: bool) -> tuple[tuple[str, ...], Examples, np.ndarray]:
    """Bob is better at every other subject; ann is better on the whole.

    Where it `transfers`, a word that all of bob's subjects share says whose question it is. Where it does
    not, a subject of bob's shares a word with one of ann's, and says the wrong thing of it.
    """
    rng = np.random.default_rng(0)
    questions, subjects, scores = [], [], []
    for number, subject in enumerate(SUBJECTS):
        for case in range(60):
            bobs = number % 2 == 1
            shared = ("please dear bob" if bobs else "") if transfers else f"word{number // 2}"
            own = "" if transfers else f"{subject}small {subject}large {subject}old {subject}new"
            text = f"{FORMS[case % 4].format(subject, case)} {own} {shared}"
            questions.append(RouterInput(text))
            subjects.append(subject)
            right = np.array([0.6, 0.9] if bobs else [0.95, 0.1])
            scores.append((rng.random(2) < right).astype(float))
    matrix = np.array(scores)
    if level is Level.QUERY:
        return EXPERTS, Examples(questions, subjects, matrix), matrix
    one_hot = np.eye(len(SUBJECTS))[[SUBJECTS.index(subject) for subject in subjects]]
    return SUBJECTS, Examples(questions, subjects, one_hot), matrix


def trained(level: Level, transfers: bool) -> RouterModel:
    outputs, examples, scores = lesson(level, transfers)
    return new_trainer(level, "tfidf", None, TrainingContext()).fit(outputs, examples, scores=scores, max_fallback=1.0)


@pytest.mark.parametrize("level", list(Level))
def test_what_is_unlike_training_falls_back_and_what_is_like_it_does_not(level: Level) -> None:
    model = trained(level, transfers=False)
    assert model.fallback is not None
    _, examples, _ = lesson(level, transfers=False)
    _, foreign = model.read(FOREIGN)
    _, usual = model.read(examples.questions)
    assert foreign is not None
    assert usual is not None
    assert (foreign < model.fallback.threshold).all()
    assert (usual >= model.fallback.threshold).mean() > 0.5
    found = model.fallback.calibration
    assert found.gain_without < 0, "on subjects that were left out this router loses"
    assert found.low >= 0.0
    assert found.left_out_share > found.share


def test_a_question_of_either_subject_is_unfamiliar_however_near_it_is() -> None:
    _, examples, _ = lesson(Level.SUBJECT, transfers=False)
    either = [RouterInput("the same words stand in both")] * 24
    asked = [*examples.questions, *either]
    subjects = [*examples.subjects, *SUBJECTS[:2] * 12]
    one_hot = np.eye(len(SUBJECTS))[[SUBJECTS.index(subject) for subject in subjects]]
    scores = np.tile([1.0, 0.0], (len(asked), 1))
    found = new_trainer(Level.SUBJECT, "tfidf", None, TrainingContext()).fit(
        SUBJECTS, Examples(asked, subjects, one_hot), scores=scores
    )
    _, familiarity = found.read([either[0], examples.questions[0]])
    assert familiarity is not None
    assert familiarity[0] < 0.6, "a cosine of one, times a probability of a half"
    assert familiarity[0] < familiarity[1]


def test_the_command_and_the_library_have_the_same_limit() -> None:
    assert {option.name: option.default for option in train_router.params}["max_fallback"] == DEFAULT_MAX_FALLBACK


def test_where_what_was_learned_carries_over_nothing_falls_back() -> None:
    model = trained(Level.QUERY, transfers=True)
    assert model.fallback is not None
    assert model.fallback.calibration.low > 0
    assert model.fallback.calibration.share == 0.0
    _, foreign = model.read(FOREIGN)
    assert foreign is not None
    assert (foreign >= model.fallback.threshold).all()


@pytest.mark.parametrize("most", [0.0, 0.05])
def test_caution_has_a_limit(most: float) -> None:
    outputs, examples, scores = lesson(Level.QUERY, transfers=False)
    assert trained(Level.QUERY, transfers=False).fallback.calibration.share > most  # type: ignore[union-attr]
    model = new_trainer(Level.QUERY, "tfidf", None, TrainingContext()).fit(
        outputs, examples, scores=scores, max_fallback=most
    )
    assert model.fallback is not None
    assert model.fallback.calibration.share == most
    _, usual = model.read(examples.questions)
    assert usual is not None
    assert (usual < model.fallback.threshold).mean() <= most + 0.02


@pytest.mark.parametrize("level", list(Level))
def test_a_fallback_survives_the_round_trip(level: Level, tmp_path: Path) -> None:
    model = trained(level, transfers=False)
    artifact.save(model, tmp_path / "router")
    loaded = artifact.load(tmp_path / "router")
    assert loaded.fallback is not None
    assert model.fallback is not None
    assert (loaded.fallback.threshold, loaded.fallback.calibration) == (
        model.fallback.threshold,
        model.fallback.calibration,
    )
    for one, other in zip(model.read(FOREIGN), loaded.read(FOREIGN), strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_few_subjects_to_leave_one_out() -> None:
    outputs, examples, scores = lesson(Level.QUERY, transfers=False)
    two = np.flatnonzero(np.isin(examples.subjects, SUBJECTS[:2]))
    model = new_trainer(Level.QUERY, "tfidf", None, TrainingContext()).fit(
        outputs, examples.take(two), scores=scores[two]
    )
    assert model.fallback is None
    assert model.read(FOREIGN)[1] is None


def test_no_score_to_judge_by() -> None:
    outputs, examples, scores = lesson(Level.SUBJECT, transfers=False)
    trainer = new_trainer(Level.SUBJECT, "tfidf", None, TrainingContext())
    assert trainer.fit(outputs, examples, scores=np.full_like(scores, np.nan)).fallback is None
