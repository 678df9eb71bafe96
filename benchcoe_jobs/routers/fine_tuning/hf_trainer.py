"""Fine-tuning with the Trainer of transformers: batches, checkpoints and the network that is trained."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.fine_tuning.objectives import Loss, Objective
from benchcoe_jobs.routers.fine_tuning.transformer import bf16_helps, padded, pooled

# transformers is imported by name: its types are too incomplete for a type checker.
_hf: Any = import_module("transformers")
_samplers: Any = import_module("transformers.trainer_pt_utils")

# Seconds between two checkpoints within an epoch: the most work that a kill can cost.
CHECKPOINT_S = 60.0

_COMPLETE = "whole"
"""The name of a file in each checkpoint that was written completely."""

_SEED = 0

_SORTED_BATCHES = 50
"""The number of batches whose questions are sorted by length together: enough for little padding and a good mix."""


@dataclass(frozen=True)
class Schedule:
    """Duration and learning rates. The rates rise over the first tenth of the steps, then fall to zero.

    Training ends after `patience` epochs in a row that are no better on validation than the best one.
    """

    epochs: int = 5
    patience: int = 2
    batch: int = 32
    encoder_rate: float = 5e-5
    head_rate: float = 1e-3


@dataclass(frozen=True)
class TokenisedExamples:
    """Token ids of n questions, and targets (n, k), NaN if unknown."""

    ids: Sequence[Sequence[int]]
    targets: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> tuple[Sequence[int], Floats]:
        return self.ids[row], self.targets[row]


class Network(torch.nn.Module):
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
        """The loss, and the logits of each question (n, k)."""
        vectors = pooled(self.encoder, input_ids, attention_mask, self.centre)
        with torch.autocast(vectors.device.type, enabled=False):
            logits = torch.nn.functional.linear(vectors, self.weights, self.intercepts)
        return {"loss": self._loss(logits, labels), "logits": logits}

    def groups(self, schedule: Schedule) -> list[dict[str, Any]]:
        """Parameter groups with their learning rates; only the matrices of the encoder have weight decay."""
        encoder = list(self.encoder.parameters())
        return [
            {"params": [p for p in encoder if p.ndim > 1], "lr": schedule.encoder_rate, "weight_decay": 0.01},
            {"params": [p for p in encoder if p.ndim < 2], "lr": schedule.encoder_rate, "weight_decay": 0.0},
            {"params": [self.weights, self.intercepts], "lr": schedule.head_rate, "weight_decay": 0.0},
        ]


class LengthGroupedBatches(_samplers.LengthGroupedSampler):  # type: ignore[misc]
    """Batches of questions of similar length in random order. The order depends on the epoch alone, so that a resumed
    epoch has the same one.

    The order of the base class does not group fewer than eight batches, and leaves the last batches mixed. Here large
    random parts are sorted by length and cut into batches, which are then shuffled.
    """

    def set_epoch(self, epoch: int) -> None:
        """Seed the order of an epoch; the Trainer calls this before each one."""
        self.generator = torch.Generator().manual_seed(_SEED + epoch)

    def __iter__(self) -> Iterator[int]:
        size = _SORTED_BATCHES * self.batch_size
        shuffled = torch.randperm(len(self.lengths), generator=self.generator).tolist()
        rows: list[int] = []
        for start in range(0, len(shuffled), size):
            rows += sorted(shuffled[start : start + size], key=self.lengths.__getitem__)
        # Only the last batch may be smaller, and it stays the last: the Trainer cuts batches of equal size.
        full, batch = len(rows) // self.batch_size, self.batch_size
        order = torch.randperm(full, generator=self.generator).tolist()
        return (row for number in [*order, full] for row in rows[number * batch : (number + 1) * batch])


class _Trainer(_hf.Trainer):  # type: ignore[misc]
    def _get_train_sampler(self, train_dataset: TokenisedExamples | None = None) -> LengthGroupedBatches:
        lengths = [len(ids) for ids in self.train_dataset.ids]
        return LengthGroupedBatches(self.args.train_batch_size, lengths=lengths)


class CheckpointCallback(_hf.TrainerCallback):  # type: ignore[misc]
    """Calls `on_step` after each step, saves a checkpoint every `CHECKPOINT_S` seconds, and marks complete ones."""

    def __init__(self, on_step: Callable[[], object]) -> None:
        self._on_step = on_step
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._on_step()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Only after a log entry: a checkpoint does not store the loss that is summed up for the next entry.
        if args.save_strategy != "no" and time.monotonic() - self._saved >= CHECKPOINT_S:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _COMPLETE).touch()
        self._saved = time.monotonic()


def new_hf_trainer(
    network: Network,
    pad_id: int,
    examples: TokenisedExamples,
    validation: TokenisedExamples | None,
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    saves: bool,
    on_step: Callable[[], object],
) -> Any:
    """A Trainer of transformers for `network`, with its checkpoints in `folder` if `saves`."""
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
        save_strategy="epoch" if saves else "no",
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
    callbacks = [CheckpointCallback(on_step)]
    if validation:
        callbacks.append(_hf.EarlyStoppingCallback(schedule.patience))
    trainer = _Trainer(
        model=network,
        args=args,
        data_collator=_collator(pad_id),
        train_dataset=examples,
        eval_dataset=validation,
        compute_metrics=_metrics(objective.measure) if objective.measure else None,
        callbacks=callbacks,
        optimizers=(torch.optim.AdamW(network.groups(schedule)), None),
    )
    trainer.remove_callback(_hf.PrinterCallback)  # it prints to stdout
    return trainer


def _collator(pad_id: int) -> Callable[[Sequence[tuple[Sequence[int], Floats]]], dict[str, Tensor]]:
    def collate(batch: Sequence[tuple[Sequence[int], Floats]]) -> dict[str, Tensor]:
        ids, mask = padded([row for row, _ in batch], pad_id)
        labels = torch.tensor(np.array([targets for _, targets in batch]), dtype=torch.float32)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    return collate


def _metrics(measure: Callable[[Floats, Floats], float]) -> Callable[[Any], dict[str, float]]:
    return lambda evaluated: {"score": measure(evaluated.predictions, evaluated.label_ids)}


def last_complete_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written completely; incomplete ones are removed."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        if (path / _COMPLETE).exists():
            found[int(path.name.rpartition("-")[2])] = path
        else:
            shutil.rmtree(path)
    return str(found[max(found)]) if found else None
