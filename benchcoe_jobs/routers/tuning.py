"""Fine-tuning: an encoder and a linear head over it learn together, with the Trainer of transformers.

Beside `bert`, which imports this module when it trains, nothing in this room imports torch.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.base import TrainingHistory
from benchcoe_jobs.routers.transformer import Transformer, bf16_helps, padded, pooled

# transformers is imported by name: it says too little to a type checker.
_hf: Any = import_module("transformers")
_samplers: Any = import_module("transformers.trainer_pt_utils")

# Between two checkpoints within an epoch: what a kill can cost.
CHECKPOINT_S = 60.0

_WHOLE = "whole"
"""A file in each checkpoint that was written to its end."""

_SEED = 0

_SORTED_BATCHES = 50
"""Batches that questions of like length are looked for in: enough for little padding, few enough for a good mix."""

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Of what the head says (n, k) and targets (n, k), NaN where unknown."""


@dataclass(frozen=True)
class Schedule:
    """How long is learned, and how fast. Rates rise over the first tenth of the steps, then fall to zero.

    An epoch that is no better on validation than the best one is forgiven `patience - 1` times.
    """

    epochs: int = 5
    patience: int = 2
    batch: int = 32
    encoder_rate: float = 5e-5
    head_rate: float = 1e-3


@dataclass(frozen=True)
class TokenisedExamples:
    """What is learned from: token ids of n questions, and targets (n, k), NaN where unknown."""

    ids: Sequence[Sequence[int]]
    targets: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> tuple[Sequence[int], Floats]:
        return self.ids[row], self.targets[row]


@dataclass(frozen=True)
class Objective:
    """What is made small in training, and what says on validation which epoch was the best.

    `measure` takes what the head says and targets (both (n, k)); more is better. None: the smallest loss is best.
    """

    loss: Loss
    measure: Callable[[Floats, Floats], float] | None = None


@dataclass(frozen=True)
class Tuned:
    """A head after training, weights (k, d) and intercepts (k,), and how training went.

    `is_better` says whether the encoder and this head beat what they were before, on validation.
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
    scratch: Path | None,
    between: Callable[[], object],
) -> Tuned:
    """Train an encoder, in place, and a head from where they stand.

    With `validation` the best epoch is kept, and training ends when `patience` runs out. `scratch` is a
    folder that holds checkpoints of this very training and of no other: it goes on from the last whole one.
    `between` is called at every step; what it raises ends the training.
    """
    with _folder(scratch) as folder:
        network = _Network(encoder.model, encoder.centre, weights, intercepts, objective.loss)
        keeps = scratch is not None or validation is not None  # the best epoch, or what a kill would cost
        trainer = _trainer(network, encoder.pad_id, examples, validation, objective, schedule, folder, keeps, between)
        start = trainer.evaluate() if validation else {}
        trainer.train(resume_from_checkpoint=_last_whole(folder))
        state = trainer.state
    measure = "eval_loss" if objective.measure is None else "eval_score"
    sign = -1.0 if objective.measure is None else 1.0
    return Tuned(
        network.weights.detach().double().cpu().numpy(),
        network.intercepts.detach().double().cpu().numpy(),
        _history([{"epoch": 0.0} | start if validation else {}, *state.log_history]),
        not validation or sign * state.best_metric > sign * start[measure],
    )


class _Network(torch.nn.Module):
    """An encoder of transformers and a linear head over its vectors."""

    centre: Tensor

    def __init__(
        self, encoder: Any, centre: NDArray[np.float32], weights: Floats, intercepts: Floats, loss: Loss
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("centre", torch.tensor(centre), persistent=False)
        self.weights = torch.nn.Parameter(torch.tensor(np.ascontiguousarray(weights), dtype=torch.float32))
        self.intercepts = torch.nn.Parameter(torch.tensor(intercepts, dtype=torch.float32))
        self._loss = loss

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss, and what the head says of each question, (n, k)."""
        vectors = pooled(self.encoder, input_ids, attention_mask, self.centre)
        with torch.autocast(vectors.device.type, enabled=False):
            logits = torch.nn.functional.linear(vectors, self.weights, self.intercepts)
        return {"loss": self._loss(logits, labels), "logits": logits}

    def groups(self, schedule: Schedule) -> list[dict[str, Any]]:
        """Parameters by how fast they learn and whether they shrink: matrices of the encoder do."""
        encoder = list(self.encoder.parameters())
        return [
            {"params": [p for p in encoder if p.ndim > 1], "lr": schedule.encoder_rate, "weight_decay": 0.01},
            {"params": [p for p in encoder if p.ndim < 2], "lr": schedule.encoder_rate, "weight_decay": 0.0},
            {"params": [self.weights, self.intercepts], "lr": schedule.head_rate, "weight_decay": 0.0},
        ]


class _ByLength(_samplers.LengthGroupedSampler):  # type: ignore[misc]
    """Questions of like length together, shuffled anew each epoch, and equally when an epoch is gone on with.

    The parent's own order groups nothing where there are fewer than eight batches, and always leaves the last ones
    mixed. Here the batches of a large random part are cut from its sorted rows, and shuffled.
    """

    def set_epoch(self, epoch: int) -> None:
        self.generator = torch.Generator().manual_seed(_SEED + epoch)

    def __iter__(self) -> Iterator[int]:
        size = _SORTED_BATCHES * self.batch_size
        shuffled = torch.randperm(len(self.lengths), generator=self.generator).tolist()
        rows: list[int] = []
        for start in range(0, len(shuffled), size):
            rows += sorted(shuffled[start : start + size], key=self.lengths.__getitem__)
        # Only the last batch may be short, and stays the last: elsewhere it would shift the cuts of those behind it.
        full, batch = len(rows) // self.batch_size, self.batch_size
        order = torch.randperm(full, generator=self.generator).tolist()
        return (row for number in [*order, full] for row in rows[number * batch : (number + 1) * batch])


class _Trainer(_hf.Trainer):  # type: ignore[misc]
    def _get_train_sampler(self, train_dataset: TokenisedExamples | None = None) -> _ByLength:
        lengths = [len(ids) for ids in self.train_dataset.ids]
        return _ByLength(self.args.train_batch_size, lengths=lengths)


class _Watch(_hf.TrainerCallback):  # type: ignore[misc]
    """Asks whether to go on, saves now and then, and marks what was saved to its end."""

    def __init__(self, between: Callable[[], object]) -> None:
        self._between = between
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._between()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Only here: the loss that a log entry sums up is not saved.
        if args.save_strategy != "no" and time.monotonic() - self._saved >= CHECKPOINT_S:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()
        self._saved = time.monotonic()


def _trainer(
    network: _Network,
    pad_id: int,
    examples: TokenisedExamples,
    validation: TokenisedExamples | None,
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    keeps: bool,
    between: Callable[[], object],
) -> _Trainer:
    steps = -(-len(examples) // schedule.batch)
    args = _hf.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=schedule.batch,
        per_device_eval_batch_size=schedule.batch,
        lr_scheduler_type="linear",
        warmup_steps=steps * schedule.epochs // 10,
        bf16=bf16_helps(),
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch" if validation else "no",
        save_strategy="epoch" if keeps else "no",
        save_total_limit=2,
        load_best_model_at_end=validation is not None,
        metric_for_best_model=None if not validation else "loss" if objective.measure is None else "score",
        greater_is_better=objective.measure is not None,
        restore_callback_states_from_checkpoint=True,
        logging_steps=max(1, steps // 20),
        seed=_SEED,
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
        report_to="none",
    )
    trainer = _Trainer(
        model=network,
        args=args,
        data_collator=_collator(pad_id),
        train_dataset=examples,
        eval_dataset=validation,
        compute_metrics=_measured(objective.measure) if objective.measure else None,
        callbacks=[_Watch(between), *([_hf.EarlyStoppingCallback(schedule.patience)] if validation else [])],
        optimizers=(torch.optim.AdamW(network.groups(schedule)), None),
    )
    trainer.remove_callback(_hf.PrinterCallback)  # it writes to stdout
    return trainer


def _collator(pad_id: int) -> Callable[[Sequence[tuple[Sequence[int], Floats]]], dict[str, Tensor]]:
    def collate(batch: Sequence[tuple[Sequence[int], Floats]]) -> dict[str, Tensor]:
        ids, mask = padded([row for row, _ in batch], pad_id)
        labels = torch.tensor(np.array([targets for _, targets in batch]), dtype=torch.float32)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    return collate


def _measured(measure: Callable[[Floats, Floats], float]) -> Callable[[Any], dict[str, float]]:
    return lambda said: {"score": measure(said.predictions, said.label_ids)}


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    if scratch is None:
        with tempfile.TemporaryDirectory(prefix="tuning-") as folder:
            yield Path(folder)
    else:
        scratch.mkdir(parents=True, exist_ok=True)
        yield scratch.resolve()


def _last_whole(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; those that were not are removed."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        if (path / _WHOLE).exists():
            found[int(path.name.rpartition("-")[2])] = path
        else:
            shutil.rmtree(path)
    return str(found[max(found)]) if found else None


def _history(log: Sequence[Mapping[str, float]]) -> TrainingHistory:
    names = {"loss": "loss", "eval_loss": "validation_loss", "eval_score": "validation_accuracy"}
    points: list[dict[str, float]] = []
    for entry in log:
        if said := {name: round(float(entry[key]), 6) for key, name in names.items() if key in entry}:
            points.append({"epoch": round(float(entry["epoch"]), 4), **said})
    return points


def _accuracy(said: Floats, targets: Floats) -> float:
    return float((said.argmax(axis=1) == targets.argmax(axis=1)).mean())


def _masked(loss: Loss) -> Loss:
    """The mean of a sum over the known targets, each on its own."""

    def mean(said: Tensor, targets: Tensor) -> Tensor:
        known = ~targets.isnan()
        return loss(said[known], targets[known]) / known.sum().clamp_min(1)

    return mean


_losses = torch.nn.functional

OBJECTIVES: Mapping[str, Objective] = {
    "linear": Objective(_losses.cross_entropy, _accuracy),
    "bce": Objective(_masked(partial(_losses.binary_cross_entropy_with_logits, reduction="sum"))),
    "regression": Objective(_masked(partial(_losses.mse_loss, reduction="sum"))),
}
"""By the name of the head: one of all subjects, or each expert on its own."""
