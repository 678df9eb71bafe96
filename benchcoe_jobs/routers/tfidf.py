"""TF-IDF features: the words of a question and their n-grams, see `analyzer`. They need no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.sparsefuncs_fast import inplace_csr_row_normalize_l2

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.analyzer import ANALYZERS, NEWEST, WORD
from benchcoe_jobs.routers.base import FrozenFeatureKind, Matrix, TrainingContext, VectorCache
from benchcoe_jobs.routers.linear import LogisticHead, RidgeHead
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

_MAX_FEATURES = 100_000

# From this many texts on, words that occur in a single text are dropped: they do not generalise and are most of the
# vocabulary. In fewer texts nearly all words occur once.
_MANY_TEXTS = 1_000


class _Stored(StoredConfig):
    """Releases before 0.3.0 name no analyzer."""

    vocabulary: list[str]
    analyzer: int = 1


class TfidfFeatures:
    """Words and n-grams, weighted by (1 + log of their count) x inverse document frequency."""

    def __init__(self, context: TrainingContext) -> None:
        if context.encoder is not None or context.revision is not None:
            raise UsageError(
                "a tfidf router has no encoder: omit the encoder and the revision, or choose the kind embedding"
            )
        self._analyzer = NEWEST
        self._vectorizer = _vectorizer(self._analyzer)

    def fit(self, questions: Sequence[RouterInput]) -> None:
        """Learn the vocabulary. Raises UsageError if no question holds a word."""
        texts = [question.whole for question in questions]
        self._vectorizer = _vectorizer(self._analyzer, min_df=2 if len(texts) >= _MANY_TEXTS else 1)
        try:
            self._vectorizer.fit(texts)
        except ValueError as error:
            raise UsageError("the questions hold no words to learn from, or none that two of them share") from error

    def transform(self, questions: Sequence[RouterInput]) -> Matrix:
        """Sparse float64 rows of length one, or zero if no word of the question is known: (n, d).

        It computes what `TfidfVectorizer.transform` does, bit for bit. For a single question, the checks of that method
        take eight times as long as the rest.
        """
        analyze, column_of = self._vectorizer.build_analyzer(), self._vectorizer.vocabulary_.get
        columns: list[int] = []
        counts: list[int] = []
        starts = [0]
        for question in questions:
            found: dict[int, int] = {}
            for term in analyze(question.whole):
                column = column_of(term)
                if column is not None:
                    found[column] = found.get(column, 0) + 1
            columns.extend(found)
            counts.extend(found.values())
            starts.append(len(columns))
        idf = np.asarray(self._vectorizer.idf_)
        places = np.array(columns, dtype=np.int32), np.array(starts, dtype=np.int32)
        x = sparse.csr_matrix((np.log(np.array(counts, dtype=np.float64)) + 1.0, *places), (len(questions), len(idf)))
        x.sort_indices()
        x.data *= idf[x.indices]
        inplace_csr_row_normalize_l2(x)
        return x

    def config(self) -> dict[str, Any]:
        """The vocabulary, in the order of the columns, and the number of the analyzer, unless it is the first."""
        analyzer = {} if self._analyzer == 1 else {"analyzer": self._analyzer}
        return {"vocabulary": self._vectorizer.get_feature_names_out().tolist()} | analyzer

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The inverse document frequencies (d,)."""
        return {"idf": np.asarray(self._vectorizer.idf_)}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], cache: VectorCache | None) -> Self:
        """The fitted features back from `config()` and `arrays()`. Raises ValueError if they do not fit together."""
        stored = _Stored.model_validate(config)
        if stored.analyzer not in ANALYZERS:
            raise ValueError(f"analyzer {stored.analyzer} is not known to this version")
        features = cls(TrainingContext())
        features._analyzer = stored.analyzer
        features._vectorizer = _vectorizer(stored.analyzer, vocabulary=stored.vocabulary)
        features._vectorizer.idf_ = stored_array(arrays, "idf", (len(stored.vocabulary),))
        return features


def _vectorizer(analyzer: int, **options: Any) -> TfidfVectorizer:
    counts = ANALYZERS[analyzer]
    reads = {"ngram_range": (1, 2), "token_pattern": WORD} if counts is None else {"analyzer": counts}
    return TfidfVectorizer(sublinear_tf=True, max_features=_MAX_FEATURES, **reads, **options)


TFIDF = FrozenFeatureKind(TfidfFeatures, {Level.SUBJECT: {"linear": LogisticHead}, Level.QUERY: {"linear": RidgeHead}})
