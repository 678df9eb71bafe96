"""Routes of aurelio's semantic-router, and the decisions that it makes by them.

A route is an expert with example questions of the subjects that it wins. A question is compared with all examples: of
the five most similar ones, those of each route are averaged, and the route with the highest mean is taken, if the mean
reaches its threshold (semantic_router/routers/base.py of version 0.3, `top_k` 5, aggregation `mean`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.store.results.catalog import Question

EXAMPLES = 30
"""Example questions of each subject."""

NEIGHBOURS = 5
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7)
"""With 0, a question always goes to a route."""


@dataclass(frozen=True)
class Routes:
    """Routes by expert: `examples` are the questions of each, `vectors` (n, d) those of all, of length one.

    `owner` (n,) has the position of the route in `experts` that each vector belongs to.
    """

    experts: list[str]
    examples: list[list[str]]
    vectors: Floats
    owner: NDArray[np.intp]

    def choose(self, vectors: Floats) -> tuple[NDArray[np.intp], Floats]:
        """The position of the best route of each question (m,), and its mean similarity (m,). `vectors` are (m, d)."""
        similar = vectors @ self.vectors.T
        k = min(NEIGHBOURS, len(self.owner))
        nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        scores = np.take_along_axis(similar, nearest, axis=1)
        means = np.full((len(vectors), len(self.experts)), -np.inf)
        for route in range(len(self.experts)):
            own = self.owner[nearest] == route
            count = own.sum(axis=1)
            means[:, route] = np.where(count, (scores * own).sum(axis=1) / np.maximum(count, 1), -np.inf)
        best = means.argmax(axis=1)
        return best, means[np.arange(len(vectors)), best]


def make_routes(questions: Sequence[Question], vectors: Floats, winner_of: Mapping[str, str]) -> Routes:
    """Routes for the experts that `winner_of` names for subjects; of each subject the questions nearest to its centre.

    `questions` have the `vectors` (n, d), which have length one.
    """
    subjects = np.array([question.subject for question in questions], dtype=object)
    chosen: dict[str, list[int]] = {expert: [] for expert in sorted(set(winner_of.values()))}
    for subject in sorted(winner_of):
        rows = np.flatnonzero(subjects == subject)
        if len(rows):
            distance = -(vectors[rows] @ vectors[rows].mean(axis=0))
            chosen[winner_of[subject]] += rows[np.argsort(distance, kind="stable")[:EXAMPLES]].tolist()
    experts = [expert for expert, rows in chosen.items() if rows]
    order = [row for expert in experts for row in chosen[expert]]
    return Routes(
        experts=experts,
        examples=[[questions[row].router_input.whole for row in chosen[expert]] for expert in experts],
        vectors=vectors[order],
        owner=np.repeat(np.arange(len(experts)), [len(chosen[expert]) for expert in experts]),
    )
