"""The properties of every router, for each level, kind and head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import World

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import RouterModel, RouterTrainer, new_trainer

_TEXTS = ["", " \n\t", "\0", "lone \ud800 surrogate", "日本語 العربية 🙂", "word " * 20_000, "x" * 100_000]
ODD = [
    *map(RouterInput, _TEXTS),
    RouterInput("", ("", "")),
    RouterInput("which?", ("x" * 100_000, "word " * 20_000)),
]


_KEPT: dict[tuple[object, ...], RouterModel] = {}


def trained(trainer: RouterTrainer, on: World, targets: Any = None, *, first: int | None = None) -> RouterModel:
    """A model that was trained on a world or its first outputs. It is kept, unless other targets are given."""
    if targets is not None:
        return trainer.fit(on.outputs, replace(on.examples, targets=targets))
    outputs = on.outputs[:first]
    key = trainer.level, trainer.kind, trainer.head, outputs, len(on.outputs)
    if key not in _KEPT:
        _KEPT[key] = trainer.fit(outputs, columns(on, slice(first)))
    return _KEPT[key]


def columns(of: World, which: slice | list[int]) -> Examples:
    return replace(of.examples, targets=of.examples.targets[:, which])


def with_more(examples: Examples, questions: list[RouterInput], target: list[float]) -> Examples:
    """More questions, all of the first subject and with the same targets."""
    n = len(questions)
    return Examples(
        [*examples.questions, *questions],
        [*examples.subjects, *[examples.subjects[0]] * n],
        np.vstack([examples.targets, np.tile([target], (n, 1))]),
    )


@pytest.mark.parametrize("size", ["two", "thirty_two"])
def test_chooses_the_right_output_for_unseen_questions(
    trainer: RouterTrainer, size: str, request: pytest.FixtureRequest
) -> None:
    known = request.getfixturevalue(size)
    predictions = trained(trainer, known).predict(known.unseen)
    assert predictions.shape == (len(known.unseen), len(known.outputs))
    assert predictions.dtype == np.float64
    right = predictions.argmax(axis=1) == np.arange(len(known.outputs))
    assert right.mean() > 0.95


def test_subject_predictions_are_probabilities(subject_trainer: RouterTrainer, eight: World) -> None:
    predictions = trained(subject_trainer, eight).predict(eight.unseen + ODD)
    assert predictions.min() >= 0
    np.testing.assert_allclose(predictions.sum(axis=1), 1)


def test_two_fits_and_a_saved_router_predict_the_same_bits(
    trainer: RouterTrainer, eight: World, tmp_path: Path
) -> None:
    first, second = trained(trainer, eight), trainer.fit(eight.outputs, eight.examples)
    fingerprint = artifact.save(first, tmp_path / "first")
    assert fingerprint == artifact.save(second, tmp_path / "second")
    loaded = artifact.load(tmp_path / "first", fingerprint, cache=trainer.context.cache)
    assert (loaded.level, loaded.kind, loaded.head_name) == (trainer.level, trainer.kind, trainer.head)
    assert loaded.outputs == eight.outputs
    questions = eight.unseen + ODD
    expected = first.predict(questions)
    np.testing.assert_array_equal(second.predict(questions), expected)
    np.testing.assert_array_equal(loaded.predict(questions), expected)


def test_a_saved_router_has_equal_files_and_none_is_a_pickle(
    trainer: RouterTrainer, eight: World, tmp_path: Path
) -> None:
    model = trained(trainer, eight)
    for name in ("first", "second"):
        artifact.save(model, tmp_path / name)
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["router.json", "weights.safetensors"]
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_odd_questions_can_be_learned_and_routed(trainer: RouterTrainer, two: World) -> None:
    model = trainer.fit(two.outputs, with_more(two.examples, ODD, [1.0, 0.0]))
    assert np.isfinite(model.predict(ODD)).all()


def test_without_questions_there_are_no_predictions(trainer: RouterTrainer, two: World) -> None:
    assert trained(trainer, two).predict([]).shape == (0, 2)


def test_a_question_without_targets_changes_nothing(trainer: RouterTrainer, two: World, tmp_path: Path) -> None:
    model = trainer.fit(two.outputs, with_more(two.examples, [RouterInput("a nameless thing")], [np.nan, np.nan]))
    assert artifact.save(model, tmp_path / "a") == artifact.save(trained(trainer, two), tmp_path / "b")


def test_unknown_scores_are_not_taken_for_zero(query_trainer: RouterTrainer, eight: World) -> None:
    targets = np.ones_like(eight.examples.targets)
    targets[:, 0] = 0.4
    known = np.random.default_rng(0).random(targets.shape) < 0.3
    targets[~known] = np.nan
    model = trained(query_trainer, eight, targets)
    predictions = model.predict(eight.unseen)
    np.testing.assert_allclose(predictions[:, 0], 0.4)
    np.testing.assert_allclose(predictions[:, 1:], 1.0)


def test_an_expert_known_on_a_single_question(query_trainer: RouterTrainer, eight: World) -> None:
    targets = eight.examples.targets.copy()
    targets[1:, 0] = np.nan
    model = trained(query_trainer, eight, targets)
    np.testing.assert_allclose(model.predict(eight.unseen)[:, 0], targets[0, 0])


@pytest.mark.parametrize("n_new", [1, 5])
@pytest.mark.parametrize("coverage", [1.0, 0.9])
def test_new_experts_do_not_change_the_predictions_of_the_others(
    query_trainer: RouterTrainer, eight: World, n_new: int, coverage: float, tmp_path: Path
) -> None:
    old = 8 - n_new
    model = trained(query_trainer, eight, first=old)
    before = model.predict(eight.unseen)
    new_targets = eight.examples.targets[:, old:].copy()
    new_targets[np.random.default_rng(1).random(len(new_targets)) > coverage] = np.nan

    grown = model.extended(replace(eight.examples, targets=new_targets), eight.outputs[old:])
    fingerprint = artifact.save(grown, tmp_path / "grown")
    after = grown.predict(eight.unseen)

    assert grown.outputs == eight.outputs
    np.testing.assert_array_equal(after[:, :old], before)
    np.testing.assert_array_equal(after.argmax(axis=1), np.arange(8))
    np.testing.assert_array_equal(model.predict(eight.unseen), before)
    loaded = artifact.load(tmp_path / "grown", fingerprint, cache=query_trainer.context.cache)
    np.testing.assert_array_equal(loaded.predict(eight.unseen), after)


def test_extending_twice_is_as_good_as_training_once(frozen_query_trainer: RouterTrainer, eight: World) -> None:
    model = frozen_query_trainer.fit(eight.outputs[:6], columns(eight, slice(6)))
    for column in (6, 7):
        model = model.extended(columns(eight, [column]), (eight.outputs[column],))
    at_once = trained(frozen_query_trainer, eight).predict(eight.unseen)
    np.testing.assert_allclose(model.predict(eight.unseen), at_once, atol=1e-6)


def test_a_subject_level_router_cannot_be_extended(subject_trainer: RouterTrainer, two: World) -> None:
    with pytest.raises(UsageError, match="only a query-level router can be extended with new experts"):
        trained(subject_trainer, two).extended(columns(two, [0]), ("new",))


def test_wrong_extensions_are_refused(query_trainer: RouterTrainer, two: World) -> None:
    column = columns(two, [0])
    model = trained(query_trainer, two)
    with pytest.raises(UsageError, match="already has a head for out-apple"):
        model.extended(column, two.outputs[:1])
    with pytest.raises(UsageError, match="no question to learn from for new"):
        model.extended(replace(column, targets=np.full_like(column.targets, np.nan)), ("new",))


def test_targets_that_cannot_be_learned_are_refused(trainer: RouterTrainer, two: World) -> None:
    with pytest.raises(ValueError, match="2 outputs, but targets"):
        trainer.fit(two.outputs, columns(two, [0]))
    missing = two.examples.targets.copy()
    missing[:, 1] = np.nan if trainer.level is Level.QUERY else 0.0
    missing[:, 0] = 1.0
    with pytest.raises(UsageError, match="no question to learn from for out-bridge"):
        trained(trainer, two, missing)


def test_subjects_must_be_one_hot(subject_trainer: RouterTrainer, two: World) -> None:
    with pytest.raises(ValueError, match="one-hot"):
        trained(subject_trainer, two, np.full_like(two.examples.targets, 0.5))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("tfidf", {"head": "knn"}, "-level tfidf router has no head 'knn': choose linear"),
        ("tfidf", {"encoder": "a/b"}, "a tfidf router has no encoder"),
        ("tfidf", {"revision": "main"}, "a tfidf router has no encoder"),
        ("embedding", {"head": "forest"}, "-level embedding router has no head 'forest': choose knn or linear or mlp"),
        ("bert", {"head": "cls"}, "-level bert router has no head 'cls': choose"),
        ("oracle", {}, "unknown name 'oracle'"),
    ],
)
@pytest.mark.parametrize("level", list(Level))
def test_wrong_combinations_are_refused_in_one_line(
    level: Level, kind: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as refusal:
        new_trainer(level, kind, options.get("head"), TrainingContext(options.get("encoder"), options.get("revision")))
    assert "\n" not in str(refusal.value)


def test_blend_is_query_level() -> None:
    with pytest.raises(UsageError, match="kind blend has no subject-level routers: choose level query"):
        new_trainer(Level.SUBJECT, "blend", None, TrainingContext())


@pytest.mark.parametrize(
    ("outputs", "says"),
    [(("a",), "a router needs two or more outputs"), (("a", "a", "b"), "with different names")],
)
def test_wrong_outputs_are_refused(trainer: RouterTrainer, two: World, outputs: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        trainer.fit(outputs, two.examples)


def test_texts_without_a_word_are_refused_by_tfidf(two: World) -> None:
    nothing = Examples([RouterInput(""), RouterInput(" ")], two.outputs, np.eye(2))
    with pytest.raises(UsageError, match="no words to learn from"):
        new_trainer(Level.SUBJECT, "tfidf", None, TrainingContext()).fit(two.outputs, nothing)
