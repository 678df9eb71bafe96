"""TF-IDF features: the words and pairs of words of a question. They need no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import FrozenFeatureKind, Matrix, TrainingContext, VectorCache
from benchcoe_jobs.routers.linear import LogisticHead, RidgeHead

# Punctuation and single characters are words: formulas and code help to predict the subject (accuracy 0.820 instead of
# 0.816 on MMLU-Pro in cross-validation).
_TOKEN = r"\w+|[^\w\s]"  # noqa: S105

_MAX_FEATURES = 100_000

# From this many texts on, words that occur in a single text are dropped: they do not generalise and are most of the
# vocabulary. In fewer texts nearly all words occur once.
_MANY_TEXTS = 1_000


class TfidfFeatures:
    """Words and pairs of words, weighted by (1 + log of their count) x inverse document frequency."""

    def __init__(self, context: TrainingContext) -> None:
        if context.encoder is not None or context.revision is not None:
            raise UsageError(
                "a tfidf router has no encoder: omit the encoder and the revision, or choose the kind embedding"
            )
        self._vectorizer = _vectorizer()

    def fit(self, questions: Sequence[RouterInput]) -> None:
        """Learn the vocabulary. Raises UsageError if no question holds a word."""
        texts = [question.whole for question in questions]
        self._vectorizer = _vectorizer(min_df=2 if len(texts) >= _MANY_TEXTS else 1)
        try:
            self._vectorizer.fit(texts)
        except ValueError as error:
            raise UsageError("the questions hold no words to learn from") from error

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Sparse float64 rows of length one, or zero if no word of the question is known: (n, d)."""
        return self._vectorizer.transform([question.whole for question in questions])

    def config(self) -> dict[str, Any]:
        """The vocabulary, in the order of the columns."""
        return {"vocabulary": self._vectorizer.get_feature_names_out().tolist()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The inverse document frequencies (d,)."""
        return {"idf": np.asarray(self._vectorizer.idf_)}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The fitted features back from `config()` and `arrays()`."""
        features = cls(TrainingContext())
        features._vectorizer = _vectorizer(vocabulary=config["vocabulary"])
        features._vectorizer.idf_ = arrays["idf"]
        return features


def _vectorizer(**options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=_TOKEN, max_features=_MAX_FEATURES, **options
    )


TFIDF = FrozenFeatureKind(TfidfFeatures, {Level.SUBJECT: {"linear": LogisticHead}, Level.QUERY: {"linear": RidgeHead}})
