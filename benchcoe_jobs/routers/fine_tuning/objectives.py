"""The losses of fine-tuning, by the name of the head, and the measures that select the best epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from benchcoe_jobs.arrays import Floats

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""The loss of predictions (n, k) against targets (n, k), NaN if unknown."""


@dataclass(frozen=True)
class Objective:
    """What training minimises, and what selects the best epoch on validation.

    `measure` takes predictions and targets, both (n, k); higher is better. None: the smallest loss is best.
    """

    loss: Loss
    measure: Callable[[Floats, Floats], float] | None = None


def _accuracy(predictions: Floats, targets: Floats) -> float:
    return float((predictions.argmax(axis=1) == targets.argmax(axis=1)).mean())


def _masked(loss: Loss) -> Loss:
    """The mean over the known targets of a loss that sums."""

    def mean(predictions: Tensor, targets: Tensor) -> Tensor:
        known = ~targets.isnan()
        return loss(predictions[known], targets[known]) / known.sum().clamp_min(1)

    return mean


_losses = torch.nn.functional

OBJECTIVES: Mapping[str, Objective] = {
    "linear": Objective(_losses.cross_entropy, _accuracy),
    "bce": Objective(_masked(partial(_losses.binary_cross_entropy_with_logits, reduction="sum"))),
    "regression": Objective(_masked(partial(_losses.mse_loss, reduction="sum"))),
}
"""By the name of the head: one loss over all subjects, or one for each expert."""
