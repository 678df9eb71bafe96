"""Routers that look: what pictures count for, and how their features are made, kept and checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worlds import MemoryCache, picture, world

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import RouterModel, new_trainer
from benchcoe_jobs.routers.pictures.features import PictureFeatures
from benchcoe_jobs.routers.vision import _losses, best_share, combined

SAME = "What number does the picture show?"


def examples(n: int, *, informative: bool) -> Examples:
    """Questions in the same words on two subjects, each with one of 40 pictures: of its subject, or of either."""
    rng = np.random.default_rng(0)
    subjects = ["even" if row % 2 == 0 else "odd" for row in range(n)]
    numbers = [2 * int(rng.integers(20)) + (row % 2 if informative else int(rng.integers(2))) for row in range(n)]
    questions = [RouterInput(SAME, pictures=(picture(number),)) for number in numbers]
    return Examples(questions, subjects, np.array([[s == "even", s == "odd"] for s in subjects], dtype=float))


def trained(level: Level, given: Examples, cache: MemoryCache | None = None) -> RouterModel:
    return new_trainer(level, "vision", None, TrainingContext(cache=cache)).fit(("even", "odd"), given)


@pytest.mark.parametrize("level", list(Level))
def test_the_picture_decides_if_the_words_are_the_same(level: Level) -> None:
    predictions = trained(level, examples(80, informative=True)).predict(
        [RouterInput(SAME, pictures=(picture(number),)) for number in range(40)]
    )
    right = predictions.argmax(axis=1) == np.arange(40) % 2
    assert right.mean() > 0.9


@pytest.mark.parametrize("level", list(Level))
def test_pictures_without_information_count_for_nothing(level: Level) -> None:
    assert trained(level, examples(80, informative=False)).features.config()["share"] == 0


def test_the_smallest_share_that_is_as_good_is_chosen() -> None:
    given = world(8).examples
    text = np.eye(8)[given.targets.argmax(axis=1)]
    assert best_share(text, text.copy(), given.targets) == 0, "the pictures say what the text says"
    assert best_share(np.tile(np.eye(8)[0], (len(text), 1)), text, given.targets) > 0


def test_leave_one_out_errors_are_those_of_fits_without_the_question() -> None:
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(12, 3)), rng.normal(size=(12, 4))
    centred = targets - targets.mean(axis=0)
    expected = []
    for row in range(12):
        rest = np.arange(12) != row
        weights = np.linalg.solve(x[rest].T @ x[rest] + 3 * np.eye(3), x[rest].T @ centred[rest])
        error = centred[row] - x[row] @ weights
        expected.append(((error - error.mean()) ** 2).sum())
    np.testing.assert_allclose(_losses(x, targets), expected)


def test_rows_have_length_one_whatever_a_question_lacks() -> None:
    text = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    pictures = np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    rows = combined(text, pictures, 0.25)
    np.testing.assert_allclose(rows[0], [np.sqrt(0.75), 0, 0, 0.5])
    np.testing.assert_allclose(rows[1:], [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])


def test_several_pictures_are_averaged_and_none_is_zeros() -> None:
    features = PictureFeatures(TrainingContext())
    one, other = picture(1), picture(2)
    features.fit([RouterInput("a", pictures=(one,)), RouterInput("b", pictures=(other,)), RouterInput("c")])
    x = features.transform([RouterInput("", pictures=of) for of in ((one,), (other,), (one, other), (one, one), ())])
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), [1, 1, 0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(x[0], -x[1], atol=1e-9)
    np.testing.assert_allclose(x[3], x[0], atol=1e-9)


def test_a_picture_is_encoded_once_and_read_only_then() -> None:
    def unreadable() -> bytes:
        raise AssertionError("the picture is in the cache")

    cache = MemoryCache()
    model = trained(Level.SUBJECT, examples(40, informative=True), cache)
    known = picture(3)
    first = model.predict([RouterInput(SAME, pictures=(known,))])
    again = model.predict([RouterInput(SAME, pictures=(Picture(known.sha256, unreadable),))])
    np.testing.assert_array_equal(first, again)
    assert {encoder for encoder, _ in cache.kept} == {"handmade-1"}


def test_a_picture_that_cannot_be_decoded_counts_as_none() -> None:
    model = trained(Level.SUBJECT, examples(40, informative=True))
    broken, none = model.predict([RouterInput(SAME, pictures=(Picture.of(b"broken"),)), RouterInput(SAME)])
    np.testing.assert_array_equal(broken, none)


def test_without_pictures_there_is_nothing_to_look_at() -> None:
    given = examples(20, informative=True)
    blind = replace(given, questions=[RouterInput(question.text) for question in given.questions])
    with pytest.raises(UsageError, match="no question has a picture to learn from: choose another kind"):
        trained(Level.SUBJECT, blind)


@pytest.mark.parametrize(
    ("kind", "context", "says"),
    [
        (
            "tfidf",
            TrainingContext(image_encoder="handmade"),
            "a tfidf router reads no pictures: omit the image encoder",
        ),
        ("vision", TrainingContext(revision="main"), "the revision is that of the text encoder"),
        ("vision", TrainingContext(image_encoder="./nowhere"), r"folder ./nowhere is not on this machine"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(kind: str, context: TrainingContext, says: str) -> None:
    with pytest.raises((UsageError, InputError), match=says) as refusal:
        new_trainer(Level.SUBJECT, kind, None, context)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("share", 1.5, "share"),
        ("text", "bert", "text"),
        ("pictures", {"encoder": "handmade", "revision": None, "fingerprint": "handmade-0"}, "has changed since"),
    ],
)
def test_a_damaged_artifact_is_refused(part: str, value: object, says: str, tmp_path: Path) -> None:
    model = trained(Level.SUBJECT, examples(40, informative=True))
    artifact.save(model, tmp_path / "router")
    content = json.loads((tmp_path / "router" / "router.json").read_text())
    content["features_config"][part] = value
    content.pop("sha256")
    content["sha256"] = artifact._fingerprint(content)
    (tmp_path / "router" / "router.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=says):
        artifact.load(tmp_path / "router", content["sha256"])
