"""The kind `cascade`: a query-level router of the text, and a cascade that was learned from answers to the questions.

The text is read by sentence embeddings, as `blend` does, if an encoder is named or the default one can be had, and by
its words (`tfidf`) otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from numpy.typing import NDArray

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError, MissingError, UsageError
from benchcoe_jobs.routers.base import Examples, Features, Head, Matrix, TrainingContext, VectorCache
from benchcoe_jobs.routers.cascades.head import CascadeHead
from benchcoe_jobs.routers.embedding import TwoViewFeatures
from benchcoe_jobs.routers.stored import StoredConfig
from benchcoe_jobs.routers.tfidf import TfidfFeatures

_TEXTS: Mapping[str, type[TfidfFeatures | TwoViewFeatures]] = {"tfidf": TfidfFeatures, "embedding": TwoViewFeatures}


class _StoredFeatures(StoredConfig):
    text: Literal["tfidf", "embedding"]
    text_config: dict[str, Any]


class CascadeFeatures:
    """The features of a question's text, of one of two kinds."""

    def __init__(self, text: TfidfFeatures | TwoViewFeatures) -> None:
        self._text = text

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Rows of length one, or zero if no word is known: (n, d), sparse without an encoder."""
        return self._text.transform(questions)

    def config(self) -> dict[str, Any]:
        """The kind and the configuration of the text features."""
        text = next(name for name, features in _TEXTS.items() if isinstance(self._text, features))
        return {"text": text, "text_config": self._text.config()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those of the text features."""
        return self._text.arrays()

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The fitted features back. Raises ValueError and InputError as the text features do."""
        stored = _StoredFeatures.model_validate(config)
        return cls(_TEXTS[stored.text].restore(stored.text_config, arrays, cache))


@dataclass(frozen=True)
class CascadeKind:
    """The features of the text, then a head and a cascade on them; see `RouterKind`."""

    heads: Mapping[Level, Mapping[str, Callable[[], Head]]]
    features: type[CascadeFeatures] = CascadeFeatures
    learns_features: bool = False
    asks_in_stages: bool = True

    def check(self, context: TrainingContext) -> None:
        """Find the encoder. Raises UsageError, InputError or MissingError if a named one cannot be used."""
        _text_features(context)

    def fit(
        self, level: Level, head: str, examples: Examples, validation: Examples | None, context: TrainingContext
    ) -> tuple[Features, Head]:
        """Learn the features, then the head. `validation` is not used: neither has epochs."""
        text = _text_features(context)
        text.fit(examples.questions)
        features = CascadeFeatures(text)
        fitted = self.heads[level][head]()
        fitted.fit(features.transform(examples.questions), examples)
        return features, fitted


CASCADE = CascadeKind({Level.QUERY: {"ridge": CascadeHead}})


def _text_features(context: TrainingContext) -> TfidfFeatures | TwoViewFeatures:
    if context.encoder is None and context.revision is not None:
        raise UsageError("the revision is that of the text encoder, which is not named: name both, or omit both")
    try:
        return TwoViewFeatures(context)
    except (InputError, MissingError):
        if context.encoder is not None:
            raise
        return TfidfFeatures(context)
