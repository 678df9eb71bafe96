"""The fallback is calibrated on held-out subjects and stored with the router."""

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


def toy_examples(level: Level, transfers: bool) -> tuple[tuple[str, ...], Examples, np.ndarray]:
    """Outputs, examples and scores. bob is better on every second subject, ann is better overall.

    If it `transfers`, all of bob's subjects share a word, which also predicts bob on a held-out subject. Otherwise each
    of bob's subjects shares a word with one of ann's, which predicts the wrong expert on a held-out subject.
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
    outputs, examples, scores = toy_examples(level, transfers)
    return new_trainer(level, "tfidf", None, TrainingContext()).fit(outputs, examples, scores=scores, max_fallback=1.0)


@pytest.mark.parametrize("level", list(Level))
def test_only_questions_unlike_training_fall_back(level: Level) -> None:
    model = trained(level, transfers=False)
    assert model.fallback is not None
    _, examples, _ = toy_examples(level, transfers=False)
    _, foreign, _ = model.read(FOREIGN)
    _, familiarity, _ = model.read(examples.questions)
    assert foreign is not None
    assert familiarity is not None
    assert (foreign < model.fallback.threshold).all()
    assert (familiarity >= model.fallback.threshold).mean() > 0.5
    found = model.fallback.calibration
    assert found.gain_without < 0, "on subjects that were held out this router loses"
    assert found.low >= 0.0
    assert found.left_out_share > found.share


def test_a_question_that_fits_two_subjects_is_less_familiar() -> None:
    _, examples, _ = toy_examples(Level.SUBJECT, transfers=False)
    either = [RouterInput("the same words stand in both")] * 24
    questions = [*examples.questions, *either]
    subjects = [*examples.subjects, *SUBJECTS[:2] * 12]
    one_hot = np.eye(len(SUBJECTS))[[SUBJECTS.index(subject) for subject in subjects]]
    scores = np.tile([1.0, 0.0], (len(questions), 1))
    found = new_trainer(Level.SUBJECT, "tfidf", None, TrainingContext()).fit(
        SUBJECTS, Examples(questions, subjects, one_hot), scores=scores
    )
    _, familiarity, _ = found.read([either[0], examples.questions[0]])
    assert familiarity is not None
    assert familiarity[0] < 0.6, "a cosine of one, times a probability of a half"
    assert familiarity[0] < familiarity[1]


def test_the_command_and_the_library_have_the_same_limit() -> None:
    assert {option.name: option.default for option in train_router.params}["max_fallback"] == DEFAULT_MAX_FALLBACK


def test_a_router_that_generalises_to_held_out_subjects_does_not_fall_back() -> None:
    model = trained(Level.QUERY, transfers=True)
    assert model.fallback is not None
    assert model.fallback.calibration.low > 0
    assert model.fallback.calibration.share == 0.0
    _, foreign, _ = model.read(FOREIGN)
    assert foreign is not None
    assert (foreign >= model.fallback.threshold).all()


def test_the_share_that_falls_back_has_a_limit() -> None:
    max_fallback = 0.05
    outputs, examples, scores = toy_examples(Level.QUERY, transfers=False)
    assert trained(Level.QUERY, transfers=False).fallback.calibration.share > max_fallback  # type: ignore[union-attr]
    model = new_trainer(Level.QUERY, "tfidf", None, TrainingContext()).fit(
        outputs, examples, scores=scores, max_fallback=max_fallback
    )
    assert model.fallback is not None
    assert model.fallback.calibration.share == max_fallback
    _, familiarity, _ = model.read(examples.questions)
    assert familiarity is not None
    assert (familiarity < model.fallback.threshold).mean() <= max_fallback + 0.02


@pytest.mark.parametrize("level", list(Level))
def test_a_router_that_does_not_gain_in_cross_validation_sends_every_question_to_the_best_single_expert(
    level: Level,
) -> None:
    """Eight questions of a subject, on which two equal experts differ by chance alone."""
    rng = np.random.default_rng(1)
    subjects = [f"subject {n % 8}" for n in range(64)]
    questions = [RouterInput(f"{subject} word{case}") for case, subject in enumerate(subjects)]
    scores = (rng.random((64, 2)) < 0.5).astype(float)
    outputs: tuple[str, ...] = EXPERTS
    targets = scores
    if level is Level.SUBJECT:
        outputs = tuple(sorted(set(subjects)))
        targets = np.eye(8)[[outputs.index(subject) for subject in subjects]]
    model = new_trainer(level, "tfidf", None, TrainingContext()).fit(
        outputs, Examples(questions, subjects, targets), scores=scores
    )
    assert model.fallback is not None
    found = model.fallback.calibration
    assert found.cross_validated is not None
    assert found.cross_validated <= 0
    assert (found.share, found.left_out_share, found.gain) == (1.0, 1.0, 0.0)
    _, familiarity, _ = model.read(questions)
    assert familiarity is not None
    assert (familiarity < model.fallback.threshold).all()


@pytest.mark.parametrize("level", list(Level))
def test_a_fallback_survives_the_round_trip(level: Level, tmp_path: Path) -> None:
    model = trained(level, transfers=False)
    loaded = artifact.load(tmp_path / "router", artifact.save(model, tmp_path / "router"))
    assert loaded.fallback is not None
    assert model.fallback is not None
    assert (loaded.fallback.threshold, loaded.fallback.calibration) == (
        model.fallback.threshold,
        model.fallback.calibration,
    )
    for one, other in zip(model.read(FOREIGN), loaded.read(FOREIGN), strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_few_subjects_to_hold_one_out() -> None:
    outputs, examples, scores = toy_examples(Level.QUERY, transfers=False)
    two = np.flatnonzero(np.isin(examples.subjects, SUBJECTS[:2]))
    model = new_trainer(Level.QUERY, "tfidf", None, TrainingContext()).fit(
        outputs, examples.take(two), scores=scores[two]
    )
    assert model.fallback is None
    assert model.read(FOREIGN).familiarity is None


def test_without_scores_there_is_no_fallback() -> None:
    outputs, examples, scores = toy_examples(Level.SUBJECT, transfers=False)
    trainer = new_trainer(Level.SUBJECT, "tfidf", None, TrainingContext())
    assert trainer.fit(outputs, examples, scores=np.full_like(scores, np.nan)).fallback is None
