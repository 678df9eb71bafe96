"""Fine-tuning of an encoder and a linear head together.

This module and those that it imports need torch. `bert` imports it when it trains; no other module of this package
imports torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import TrainingHistory
from benchcoe_jobs.routers.fine_tuning.hf_trainer import (
    Network,
    Schedule,
    TokenisedExamples,
    last_complete_checkpoint,
    new_hf_trainer,
)
from benchcoe_jobs.routers.fine_tuning.objectives import Objective
from benchcoe_jobs.routers.fine_tuning.transformer import Transformer


@dataclass(frozen=True)
class TuningResult:
    """A head after training, weights (k, d) and intercepts (k,), and the history of the training.

    `is_better` is whether encoder and head are better on validation than before training; True without validation.
    """

    weights: Floats
    intercepts: Floats
    history: TrainingHistory
    is_better: bool


def tune(
    encoder: Transformer,
    weights: Floats,
    intercepts: Floats,
    examples: TokenisedExamples,
    validation: TokenisedExamples | None,
    objective: Objective,
    *,
    schedule: Schedule,
    checkpoints: Path | None,
    on_step: Callable[[], object],
) -> TuningResult:
    """Train an encoder, in place, and a head with initial `weights` (k, d) and `intercepts` (k,).

    With `validation` the best epoch is kept, and training stops early, see `Schedule`. `checkpoints` is a folder for
    the checkpoints of this training alone; training resumes from the newest complete one. `on_step` is called after
    each step; an exception from it ends the training.
    """
    with _folder(checkpoints) as folder:
        network = Network(encoder.model, encoder.centre, weights, intercepts, objective.loss)
        saves = checkpoints is not None or validation is not None  # to resume, or to restore the best epoch
        trainer = new_hf_trainer(
            network, encoder.pad_id, examples, validation, objective, schedule, folder, saves, on_step
        )
        start = trainer.evaluate() if validation else {}
        trainer.train(resume_from_checkpoint=last_complete_checkpoint(folder))
        state = trainer.state
    measure = "eval_loss" if objective.measure is None else "eval_score"
    sign = -1.0 if objective.measure is None else 1.0
    return TuningResult(
        network.weights.detach().double().cpu().numpy(),
        network.intercepts.detach().double().cpu().numpy(),
        _history([{"epoch": 0.0} | start if validation else {}, *state.log_history]),
        not validation or sign * state.best_metric > sign * start[measure],
    )


@contextmanager
def _folder(checkpoints: Path | None) -> Iterator[Path]:
    """`checkpoints`, or a temporary folder."""
    if checkpoints is None:
        with tempfile.TemporaryDirectory(prefix="tuning-") as folder:
            yield Path(folder)
    else:
        checkpoints.mkdir(parents=True, exist_ok=True)
        yield checkpoints.resolve()


def _history(log: Sequence[Mapping[str, float]]) -> TrainingHistory:
    """The log of a Trainer as a training history."""
    names = {"loss": "loss", "eval_loss": "validation_loss", "eval_score": "validation_accuracy"}
    points: list[dict[str, float]] = []
    for entry in log:
        if measured := {name: round(float(entry[key]), 6) for key, name in names.items() if key in entry}:
            points.append({"epoch": round(float(entry["epoch"]), 4), **measured})
    return points
