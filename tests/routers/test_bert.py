"""A fine-tuned encoder: its training, resuming after a kill, and its artifact."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tiny_encoder import WINDOW
from worlds import World, world

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError, MissingError, UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, LearnedFeatures, TrainingContext, TrainingHistory
from benchcoe_jobs.routers.bert import Bert
from benchcoe_jobs.routers.encoder import find_encoder
from benchcoe_jobs.routers.fallback import Calibration
from benchcoe_jobs.routers.fine_tuning import transformer
from benchcoe_jobs.routers.fine_tuning.transformer import Transformer
from benchcoe_jobs.routers.model import new_trainer

EIGHT, SIXTEEN = world(8), world(16)


def history_of(features: object) -> TrainingHistory:
    assert isinstance(features, LearnedFeatures)
    return features.history


def relabelled(examples: Examples, seed: int) -> Examples:
    """The same questions with random one-hot targets, which cannot be learned."""
    drawn = np.random.default_rng(seed).integers(0, examples.targets.shape[1], len(examples.questions))
    return replace(examples, targets=np.eye(examples.targets.shape[1])[drawn])


def test_both_losses_are_recorded_and_the_best_epoch_is_kept(
    tiny_encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchcoe_jobs.routers.fine_tuning import hf_trainer

    for module in (transformer, hf_trainer):
        monkeypatch.setattr(module, "bf16_helps", lambda: False)  # rounding in bfloat16 depends on the batch
    features, head = Bert(epochs=20, patience=20, encoder_rate=1e-3).fit(
        Level.SUBJECT, "linear", EIGHT.examples, relabelled(EIGHT.examples, 0), TrainingContext(tiny_encoder)
    )
    history = history_of(features)
    losses = [point["loss"] for point in history if "loss" in point]
    assert losses[-1] < losses[0] / 2
    score = [point["validation_accuracy"] for point in history if "validation_accuracy" in point]
    assert [point["epoch"] for point in history if "validation_loss" in point] == list(range(len(score)))
    predicted = head.predict(features.transform(EIGHT.examples.questions)).argmax(axis=1)
    right = predicted == relabelled(EIGHT.examples, 0).targets.argmax(axis=1)
    assert right.mean() == pytest.approx(max(score), abs=1e-6)


def test_training_stops_early_and_the_original_encoder_is_kept(tiny_encoder: str) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, EIGHT.examples.targets.shape).astype(float)
    examples = replace(EIGHT.examples, targets=targets)
    wrong = replace(EIGHT.examples, targets=1 - targets)  # the better the fit, the worse on validation
    bert = Bert(epochs=50, encoder_rate=1e-3, head_rate=1e-2)
    features, head = bert.fit(Level.QUERY, "bce", examples, wrong, TrainingContext(tiny_encoder))
    assert history_of(features)[-1]["epoch"] < 10
    encoder = Transformer.open(find_encoder(tiny_encoder, None))
    encoder.centre_on(encoder.ids(examples.questions))
    x = features.transform(examples.questions)
    np.testing.assert_array_equal(x, encoder.vectors(examples.questions))
    untuned = type(head)()
    untuned.fit(x, examples)
    np.testing.assert_array_equal(head.predict(x), untuned.predict(x))


@pytest.mark.parametrize("head", ["bce", "regression"])
def test_scores_are_learned_better_than_on_the_frozen_encoder(tiny_encoder: str, head: str) -> None:
    rng = np.random.default_rng(1)
    scores = np.round(0.9 * EIGHT.examples.targets + 0.05, 2)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    examples = replace(EIGHT.examples, targets=scores)

    def errors(bert: Bert) -> float:
        features, fitted = bert.fit(Level.QUERY, head, examples, None, TrainingContext(tiny_encoder))
        wrong: NDArray[np.float64] = fitted.predict(features.transform(examples.questions)) - scores
        return float(np.nanmean(np.square(wrong)))

    assert errors(Bert(epochs=20, encoder_rate=1e-3, head_rate=1e-2)) < 0.7 * errors(Bert(epochs=1, head_rate=0.0))


def test_an_artifact_needs_no_encoder(tiny_encoder: str, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    model = new_trainer(Level.SUBJECT, "bert", None, TrainingContext(str(folder))).fit(EIGHT.outputs, EIGHT.examples)
    fingerprint = artifact.save(model, tmp_path / "router")
    expected = model.predict(EIGHT.unseen)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(artifact.load(tmp_path / "router", fingerprint).predict(EIGHT.unseen), expected)
    origin = json.loads((tmp_path / "router" / "router.json").read_text())["features_config"]["origin"]
    assert origin["fingerprint"].startswith("sha256:")


def test_a_long_question_is_cut_at_its_start(tiny_encoder: str) -> None:
    encoder = Transformer.open(find_encoder(tiny_encoder, None))
    options = ("an orchestra", "a penguin")
    questions = [
        RouterInput(f"{'old ' * 500}{beginning} Who made this?", options) for beginning in ("kettle", "kettle " * 9)
    ]
    same, other = (
        RouterInput(f"zebra {questions[0].text}", options),
        RouterInput(questions[0].text, options[::-1]),
    )
    lengths = [len(ids) for ids in encoder.ids([*questions, RouterInput("kettle")])]
    assert lengths[:2] == [WINDOW, WINDOW]
    assert lengths[2] < 10
    first, _, third, fourth = encoder.ids([*questions, same, other])
    assert first == third
    assert first != fourth


def test_the_fallback_is_calibrated_on_validation(tiny_encoder: str) -> None:
    trainer = new_trainer(Level.SUBJECT, "bert", None, TrainingContext(tiny_encoder))
    unseen = Examples(EIGHT.unseen, EIGHT.outputs, np.eye(8))
    few = unseen.take(np.arange(5))
    assert trainer.fit(EIGHT.outputs, EIGHT.examples, scores=EIGHT.examples.targets).fallback is None
    fitted = trainer.fit(
        EIGHT.outputs, EIGHT.examples, few, scores=EIGHT.examples.targets, validation_scores=few.targets[:, :4]
    )
    assert fitted.fallback is not None
    assert isinstance(fitted.fallback.calibration, Calibration)
    assert fitted.fallback.calibration.n == 5
    assert fitted.fallback.training_vectors.shape[0] == 5


# --- kills ----------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from test_bert import train

steps = 0

def on_step():
    global steps
    steps += 1
    if steps == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

train(sys.argv[1], Path(sys.argv[2]), on_step)
"""


def train(
    encoder: str, checkpoints: Path | None, on_step: object = lambda: None
) -> tuple[TrainingHistory, NDArray[np.float64]]:
    """History and predictions of a training of four epochs, with three steps each, the last on half a batch."""
    examples = SIXTEEN.examples
    context = TrainingContext(encoder, checkpoints=checkpoints, on_step=on_step)  # type: ignore[arg-type]
    unseen = Examples(SIXTEEN.unseen, SIXTEEN.outputs, np.eye(16))
    features, head = Bert(epochs=4, patience=4, encoder_rate=1e-4).fit(
        Level.SUBJECT, "linear", examples, unseen, context
    )
    return history_of(features), head.predict(features.transform(SIXTEEN.unseen))


def test_a_killed_training_resumes_with_the_same_result(tiny_encoder: str, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    here = Path(__file__).parent
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tiny_encoder, str(checkpoints), "8"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent / "helpers")])},
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    [place] = checkpoints.iterdir()
    assert {path.name for path in place.glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-6"}
    torn = place / "checkpoint-8"  # as if it had been killed while writing a checkpoint
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half of it")

    steps: list[int] = []
    history, predictions = train(tiny_encoder, checkpoints, lambda: steps.append(1))
    assert len(steps) == 12 - 6
    expected_history, expected = train(tiny_encoder, None)
    assert history == expected_history
    np.testing.assert_array_equal(predictions, expected)


def test_another_training_does_not_resume_from_its_checkpoints(tiny_encoder: str, tmp_path: Path) -> None:
    steps: list[int] = []
    context = TrainingContext(tiny_encoder, checkpoints=tmp_path, on_step=lambda: steps.append(1))
    bert = Bert(epochs=2)
    bert.fit(Level.SUBJECT, "linear", EIGHT.examples, None, context)
    first = len(steps)
    bert.fit(Level.SUBJECT, "linear", EIGHT.examples, None, context)
    assert len(steps) == first, "a finished training has no steps left"
    bert.fit(Level.SUBJECT, "linear", relabelled(EIGHT.examples, 0), None, context)
    assert len(steps) == 2 * first


def test_checkpoints_are_loaded_with_weights_only(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    load, calls = torch.load, []

    def watched(*args: object, **options: object) -> object:
        calls.append(options.get("weights_only"))
        return load(*args, **options)  # type: ignore[arg-type]

    class StoppedError(Exception):
        pass

    def stop() -> None:
        if list(tmp_path.glob("*/checkpoint-*/whole")):
            raise StoppedError

    monkeypatch.setattr(torch, "load", watched)
    with pytest.raises(StoppedError):
        train(tiny_encoder, tmp_path, stop)
    train(tiny_encoder, tmp_path)
    assert len(calls) >= 3
    assert set(calls) == {True}


# --- wrong encoders ---------------------------------------------------------------------------


def test_a_folder_without_a_complete_encoder_is_refused(tiny_encoder: str, tmp_path: Path, two: World) -> None:
    half = shutil.copytree(tiny_encoder, tmp_path / "half")
    weights = load_file(half / "model.safetensors")
    save_file({n: a for n, a in weights.items() if "layer.1" not in n}, half / "model.safetensors", {"format": "pt"})
    wordless = shutil.copytree(tiny_encoder, tmp_path / "wordless")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (wordless / name).unlink()
    unknown = shutil.copytree(tiny_encoder, tmp_path / "unknown")
    (unknown / "config.json").write_text('{"model_type": "abacus"}')
    for folder, says in [
        (half, "its weights are missing"),
        (wordless, "its tokenizer is missing"),
        (unknown, "abacus"),
    ]:
        trainer = new_trainer(Level.SUBJECT, "bert", None, TrainingContext(str(folder)))
        with pytest.raises(InputError, match=f"encoder {folder} cannot be loaded: .*{says}") as refusal:
            trainer.fit(two.outputs, two.examples)
        assert "\n" not in str(refusal.value)


def test_missing_packages_are_named(tiny_encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[routers\]'"):
        new_trainer(Level.SUBJECT, "bert", None, TrainingContext(tiny_encoder))


def test_an_encoder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises((InputError, UsageError), match=r"encoder folder .*nowhere is not on this machine"):
        new_trainer(Level.SUBJECT, "bert", None, TrainingContext(str(tmp_path / "nowhere")))


def test_batches_have_questions_of_similar_length() -> None:
    batches = list(transformer._batches([5_000, 10, 4_000, 20, 4_000], 8_192))
    assert sorted(row for rows in batches for row in rows) == list(range(5))
    assert batches == [[1, 3], [2, 4], [0]]


def test_training_batches_have_questions_of_similar_length_and_differ_by_epoch() -> None:
    hf_trainer = pytest.importorskip("benchcoe_jobs.routers.fine_tuning.hf_trainer")
    lengths = [(7 * number) % 165 + 1 for number in range(165)]  # each of 1 to 165 once
    sampler = hf_trainer.LengthGroupedBatches(32, lengths=lengths)

    def epoch(number: int) -> list[int]:
        sampler.set_epoch(number)
        return list(sampler)

    assert sorted(epoch(0)) == list(range(165))
    for start in range(0, 165, 32):
        batch = [lengths[row] for row in epoch(0)[start : start + 32]]
        assert max(batch) - min(batch) < 32
    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
