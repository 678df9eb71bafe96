"""Clusters of questions by their texts: learned from some questions, named by their words, assigned to any others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer
from sklearn.preprocessing import normalize

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import TrainingContext
from benchcoe_jobs.routers.embedding import EmbeddingFeatures
from benchcoe_jobs.routers.tfidf import TfidfFeatures

_DIMENSIONS = 100
"""Of the singular value decomposition of tf-idf features."""

_NAME_WORDS = 3
_WORD = r"(?<![^\W\d_])[^\W\d_]{3,30}(?![^\W\d_])"
"""Words of 3 to 30 letters: a longer run of letters, such as a base64 text, is no word, and a name stays readable."""

_WORDS_TO_NAME = 20_000

Vectors = Callable[[Sequence[RouterInput]], Floats]
"""n questions -> rows of length one (n, d)."""


@dataclass(frozen=True)
class Clusters:
    """k clusters: their centres (k, d) among the vectors of questions, and a name for each, all different."""

    vectors: Vectors
    centres: Floats
    names: tuple[str, ...]

    def assign(self, questions: Sequence[RouterInput]) -> list[str]:
        """The name of the nearest cluster for each question."""
        return [self.names[code] for code in nearest(self.vectors(questions), self.centres)]


def learn_vectors(questions: Sequence[RouterInput], context: TrainingContext) -> Vectors:
    """Vectors by the sentence encoder of the context, or tf-idf reduced by a decomposition that is learned here.

    Raises UsageError if the questions hold no words or all the same ones, InputError or MissingError if the encoder is
    not available.
    """
    if context.encoder is not None:
        encoded = EmbeddingFeatures(context)
        return lambda inputs: np.asarray(encoded.transform(inputs), dtype=np.float64)
    features = TfidfFeatures(context)
    features.fit(questions)
    counted = features.transform(questions)
    if not (counted.max(axis=0) - counted.min(axis=0)).nnz:
        raise UsageError("all questions in split train hold the same words: there is nothing to divide them by")
    dimensions = max(min(_DIMENSIONS, *(side - 1 for side in counted.shape)), 1)
    reduced = TruncatedSVD(dimensions, random_state=0).fit(counted)
    return lambda inputs: normalize(reduced.transform(features.transform(inputs)))


def learn_centres(vectors: Floats, k: int) -> Floats:
    """The centres (k, d) of k clusters of vectors (n, d), by k-means from four random beginnings."""
    return np.asarray(KMeans(k, n_init=4, random_state=0).fit(vectors).cluster_centers_)


def nearest(vectors: Floats, centres: Floats) -> NDArray[np.intp]:
    """The number of the nearest centre for each vector (n,); of equally near ones the first."""
    squares: Floats = (centres**2).sum(axis=1) - 2.0 * vectors @ centres.T
    closest: NDArray[np.intp] = squares.argmin(axis=1)
    return closest


def telling_names(
    questions: Sequence[RouterInput], codes: NDArray[np.intp], k: int, taken: Sequence[str] = ()
) -> tuple[str, ...]:
    """A name for each of k clusters: its three most telling words, by the number of the cluster.

    A word is telling if many questions of the cluster have it and few of the others: the share of the cluster's
    questions with the word, times the logarithm of its ratio to the share of all questions. Function words of English
    tell nothing. A cluster without such words, or whose name is `taken`, gets its number from 1.
    """
    reader = CountVectorizer(binary=True, token_pattern=_WORD, max_features=_WORDS_TO_NAME)
    try:
        has_word = reader.fit_transform(question.text for question in questions)
    except ValueError:  # no words at all
        return tuple(f"cluster {code + 1}" for code in range(k))
    words = reader.get_feature_names_out()
    says_nothing = np.isin(words, list(ENGLISH_STOP_WORDS))
    overall = (np.asarray(has_word.sum(axis=0)).ravel() + 1) / (len(questions) + 1)
    names: list[str] = []
    for code in range(k):
        rows = np.flatnonzero(codes == code)
        share = np.asarray(has_word[rows].sum(axis=0)).ravel() / max(len(rows), 1)
        telling = np.where(says_nothing, 0.0, share * np.log(np.maximum(share, 1e-9) / overall))
        best = [words[column] for column in np.argsort(-telling, kind="stable")[:_NAME_WORDS] if telling[column] > 0]
        name = ", ".join(best) or f"cluster {code + 1}"
        names.append(f"{name} ({code + 1})" if name in (*names, *taken) else name)
    return tuple(names)
