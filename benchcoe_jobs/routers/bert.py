"""A fine-tuned encoder, the router of the paper (section 3.2), from any encoder of the Hugging Face hub.

The head is fitted first, on the frozen encoder; then both are trained together. Fine-tuning with a random head distorts
the encoder (Kumar et al. 2022, arXiv 2202.10054).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.routers.base import (
    Examples,
    Features,
    Head,
    Matrix,
    TrainingContext,
    TrainingHistory,
    VectorCache,
)
from benchcoe_jobs.routers.encoder import Encoder, find_encoder
from benchcoe_jobs.routers.fine_tuning.transformer import StoredTransformer, Transformer, require_packages
from benchcoe_jobs.routers.linear import BceHead, LogisticHead, RidgeHead
from benchcoe_jobs.routers.window import RULE

if TYPE_CHECKING:
    from benchcoe_jobs.routers.fine_tuning.hf_trainer import Schedule, TokenisedExamples
    from benchcoe_jobs.routers.fine_tuning.tuning import TuningResult

DEFAULT_ENCODER = "google-bert/bert-base-uncased"

_LINEAR: Mapping[Level, Mapping[str, type[LogisticHead | BceHead | RidgeHead]]] = {
    Level.SUBJECT: {"linear": LogisticHead},
    Level.QUERY: {"bce": BceHead, "regression": RidgeHead},
}


class _Stored(StoredTransformer):
    """Artifacts of release 0.1.0 call the history "curve"."""

    origin: dict[str, Any]
    history: list[dict[str, Any]] = Field(validation_alias=AliasChoices("history", "curve"))


class BertFeatures:
    """Vectors of an encoder that was fine-tuned for one router; its weights are stored in the router's artifact.

    `origin` identifies the encoder before fine-tuning; `history` is the course of the training.
    """

    def __init__(self, encoder: Transformer, origin: Mapping[str, Any], history: TrainingHistory) -> None:
        self.history = history
        self._encoder = encoder
        self._origin = dict(origin)

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Dense float32 rows of length one: (n, d)."""
        return self._encoder.vectors(questions)

    def config(self) -> dict[str, Any]:
        """The encoder's configuration, its tokenizer, its origin and its training history."""
        return {**self._encoder.config(), "origin": self._origin, "history": [dict(point) for point in self.history]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The encoder's weights."""
        return self._encoder.arrays()

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The features back; the original encoder is not needed. Raises MissingError without transformers."""
        stored = _Stored.model_validate(config)
        return cls(Transformer.restore(stored, arrays), stored.origin, stored.history)


class Bert:
    """The kind `bert`, see `base.RouterKind`. `schedule` overrides fields of `hf_trainer.Schedule`."""

    features: type[Features] = BertFeatures
    heads: Mapping[Level, Mapping[str, Callable[[], Head]]] = _LINEAR
    learns_features = True

    def __init__(self, **schedule: Any) -> None:
        self._schedule = schedule

    def check(self, context: TrainingContext) -> None:
        """Find the encoder. Raises InputError if it is not available, MissingError without the packages."""
        require_packages()
        find_encoder(context.encoder or DEFAULT_ENCODER, context.revision)

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, context: TrainingContext
    ) -> tuple[Features, Head]:
        """Train encoder and head. If no epoch improves the result on validation, the original encoder is kept."""
        from benchcoe_jobs.routers.fine_tuning import hf_trainer, objectives, tuning

        found = find_encoder(context.encoder or DEFAULT_ENCODER, context.revision)
        origin = {"encoder": found.name, "revision": found.revision, "fingerprint": found.fingerprint}
        encoder = Transformer.open(found)
        ids = encoder.ids(examples.questions)
        encoder.centre_on(ids)
        initial_head = _LINEAR[level][head]()
        initial_head.fit(encoder.vectors_of(ids), examples)
        varied = _varied(examples.targets)
        if not varied.any():
            return BertFeatures(encoder, origin, []), initial_head
        tokenised = hf_trainer.TokenisedExamples(ids, np.where(varied, examples.targets, np.nan))
        held_out = _tokenised(encoder, validation, varied)
        schedule = hf_trainer.Schedule(**self._schedule)
        fingerprint = _fingerprint(found, level, head, schedule, tokenised, held_out)
        tuned = tuning.tune(
            encoder,
            initial_head.arrays()["weights"],
            initial_head.arrays()["intercepts"],
            tokenised,
            held_out,
            objectives.OBJECTIVES[head],
            schedule=schedule,
            checkpoints=context.checkpoints and context.checkpoints / fingerprint,
            on_step=context.on_step,
        )
        if not tuned.is_better:
            original = Transformer.open(found)
            original.centre = encoder.centre
            return BertFeatures(original, origin, tuned.history), initial_head
        return BertFeatures(encoder, origin, tuned.history), _tuned_head(initial_head, tuned, varied)


BERT = Bert()


def _varied(targets: Floats) -> NDArray[np.bool_]:
    """Whether each column has targets that differ, (k,)."""
    varied: NDArray[np.bool_] = np.nanmin(targets, axis=0) < np.nanmax(targets, axis=0)
    return varied


def _tokenised(encoder: Transformer, examples: Examples | None, varied: NDArray[np.bool_]) -> TokenisedExamples | None:
    """The questions with known targets of the varied columns, tokenised; None if there are none."""
    from benchcoe_jobs.routers.fine_tuning.hf_trainer import TokenisedExamples

    if examples is None:
        return None
    targets = np.where(varied, examples.targets, np.nan)
    rows = np.flatnonzero((~np.isnan(targets)).any(axis=1))
    if not len(rows):
        return None
    ids = encoder.ids(examples.take(rows).questions)
    by_length = sorted(range(len(ids)), key=lambda row: len(ids[row]))  # a batch is padded to its longest question
    return TokenisedExamples([ids[row] for row in by_length], targets[rows][by_length])


def _tuned_head(initial: LogisticHead | BceHead | RidgeHead, tuned: TuningResult, varied: NDArray[np.bool_]) -> Head:
    """The head with its tuned columns; the columns without different targets stay as they were."""
    arrays = initial.arrays()
    return initial.restore(
        initial.config(),
        {
            "weights": np.where(varied[:, None], tuned.weights, arrays["weights"]),
            "intercepts": np.where(varied, tuned.intercepts, arrays["intercepts"]),
        },
    )


def _fingerprint(
    found: Encoder,
    level: Level,
    head: str,
    schedule: Schedule,
    tokenised: TokenisedExamples,
    validation: TokenisedExamples | None,
) -> str:
    """A hash of everything that determines a training, so that it never resumes from checkpoints of another one."""
    digest = hashlib.sha256(json.dumps([found.fingerprint, RULE, level, head, asdict(schedule)]).encode())
    for part in (tokenised, validation):
        digest.update(json.dumps([list(row) for row in part.ids] if part else None).encode())
        digest.update(part.targets.tobytes() if part else b"")
    return digest.hexdigest()[:16]
