"""A fine-tuned encoder: what the paper routes with (section 3.2), on any encoder of the Hugging Face hub.

The head is learned first, on the encoder as it is; then both learn together. An encoder that has to
follow a random head forgets what it knew (Kumar et al. 2022, arXiv 2202.10054).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

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
from benchcoe_jobs.routers.linear import BceHead, LogisticHead, RidgeHead
from benchcoe_jobs.routers.transformer import Transformer, require_packages
from benchcoe_jobs.routers.window import RULE

if TYPE_CHECKING:
    from benchcoe_jobs.routers.tuning import Schedule, TokenisedExamples, Tuned

DEFAULT_ENCODER = "google-bert/bert-base-uncased"

_LINEAR: Mapping[Level, Mapping[str, type[LogisticHead | BceHead | RidgeHead]]] = {
    Level.SUBJECT: {"linear": LogisticHead},
    Level.QUERY: {"bce": BceHead, "regression": RidgeHead},
}


class BertFeatures:
    """Vectors of an encoder that was fine-tuned for one router; its weights stand in the router's artifact.

    `origin` says which encoder it was before, `history` how the training went.
    """

    def __init__(self, encoder: Transformer, origin: Mapping[str, Any], history: TrainingHistory) -> None:
        self.history = history
        self._encoder = encoder
        self._origin = dict(origin)

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Dense float32 rows of length one: (n, d)."""
        return self._encoder.vectors(questions)

    def config(self) -> dict[str, Any]:
        """The encoder's configuration, its tokenizer, where it came from and how it was trained."""
        return {**self._encoder.config(), "origin": self._origin, "history": [dict(point) for point in self.history]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The encoder's weights."""
        return self._encoder.arrays()

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The features back, without the encoder that they began with. Raises MissingError without transformers."""
        history = config["history"] if "history" in config else config["curve"]  # its name until release 0.1.0
        return cls(Transformer.restore(config, arrays), config["origin"], history)


class Bert:
    """See `base.RouterKind`. `schedule` overrides what `tuning.Schedule` says."""

    features: type[Features] = BertFeatures
    heads: Mapping[Level, Mapping[str, Callable[[], Head]]] = _LINEAR
    learns_features = True

    def __init__(self, **schedule: Any) -> None:
        self._schedule = schedule

    def check(self, setting: TrainingContext) -> None:
        """Raises InputError for an encoder that is not to be had, MissingError without the packages."""
        require_packages()
        find_encoder(setting.encoder or DEFAULT_ENCODER, setting.revision)

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, setting: TrainingContext
    ) -> tuple[Features, Head]:
        """Learn encoder and head. Where no epoch is better on validation than none, the encoder stays as it was."""
        from benchcoe_jobs.routers import tuning

        found = find_encoder(setting.encoder or DEFAULT_ENCODER, setting.revision)
        origin = {"encoder": found.name, "revision": found.revision, "fingerprint": found.fingerprint}
        encoder = Transformer.open(found)
        ids = encoder.ids(examples.questions)
        encoder.centre_on(ids)
        first = _LINEAR[level][head]()
        first.fit(encoder.vectors_of(ids), examples)
        varied = _varied(examples.targets)
        if not varied.any():
            return BertFeatures(encoder, origin, []), first
        tokenised = tuning.TokenisedExamples(ids, np.where(varied, examples.targets, np.nan))
        held_out = _tokenised(tuning, encoder, validation, varied)
        schedule = tuning.Schedule(**self._schedule)
        scratch = setting.scratch and setting.scratch / _fingerprint(found, level, head, schedule, tokenised, held_out)
        tuned = tuning.tune(
            encoder,
            first.arrays()["weights"],
            first.arrays()["intercepts"],
            tokenised,
            held_out,
            tuning.OBJECTIVES[head],
            schedule=schedule,
            scratch=scratch,
            between=setting.between,
        )
        if not tuned.is_better:
            as_it_was = Transformer.open(found)
            as_it_was.centre = encoder.centre
            return BertFeatures(as_it_was, origin, tuned.history), first
        return BertFeatures(encoder, origin, tuned.history), _replaced(first, tuned, varied)


BERT = Bert()


def _varied(targets: Floats) -> NDArray[np.bool_]:
    """The columns that have something to tell apart, (k,)."""
    varied: NDArray[np.bool_] = np.nanmin(targets, axis=0) < np.nanmax(targets, axis=0)
    return varied


def _tokenised(
    tuning: Any, encoder: Transformer, examples: Examples | None, varied: NDArray[np.bool_]
) -> TokenisedExamples | None:
    """What validation can measure of these columns; None where that is nothing."""
    if examples is None:
        return None
    targets = np.where(varied, examples.targets, np.nan)
    rows = np.flatnonzero((~np.isnan(targets)).any(axis=1))
    if not len(rows):
        return None
    ids = encoder.ids(examples.take(rows).questions)
    by_length = sorted(range(len(ids)), key=lambda row: len(ids[row]))  # a batch is padded to its longest
    tokenised: TokenisedExamples = tuning.TokenisedExamples([ids[row] for row in by_length], targets[rows][by_length])
    return tokenised


def _replaced(first: LogisticHead | BceHead | RidgeHead, tuned: Tuned, varied: NDArray[np.bool_]) -> Head:
    """The head as it was tuned; what had nothing to learn stays as it was."""
    arrays = first.arrays()
    return first.restore(
        first.config(),
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
    """Of all that shapes a training: what another one left in the scratch folder is not gone on with."""
    digest = hashlib.sha256(json.dumps([found.fingerprint, RULE, level, head, asdict(schedule)]).encode())
    for part in (tokenised, validation):
        digest.update(json.dumps([list(row) for row in part.ids] if part else None).encode())
        digest.update(part.targets.tobytes() if part else b"")
    return digest.hexdigest()[:16]
