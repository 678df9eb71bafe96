"""What there is to learn from: the questions of a split, with the scores that experts have on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import Examples
from benchcoe_jobs.services.score_matrix import fill
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing import routers


@dataclass(frozen=True)
class TrainingSet:
    """What there is to learn of a scope: examples with a column an output, and the scores (n, experts) of `names`."""

    scope: Scope
    level: Level
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    examples: Examples
    scores: Floats

    @property
    def calibration_scores(self) -> Floats | None:
        """The scores; None where there is none: reported ones say nothing of single questions."""
        return None if np.isnan(self.scores).all() else self.scores

    @classmethod
    def read(cls, connection: Connection, scope: Scope, level: Level) -> TrainingSet:
        """Raises UsageError where no query has a text."""
        questions = catalog.questions(connection, scope.benchmark_id, scope.split)
        if not questions:
            raise UsageError(f"no query of {scope.benchmark}, split {scope.split}, has a text to learn from")
        members = experts.pool_members(connection, scope.pool.id)
        names, scores = _score_matrix(routers.targets(connection, scope), questions, members)
        if level is Level.QUERY:
            return cls(scope, level, names, names, _examples(questions, scores), scores)
        subjects = tuple(sorted({question.subject for question in questions}))
        return cls(scope, level, subjects, names, _examples(questions, _one_hot(questions, subjects)), scores)

    def validation(self, connection: Connection) -> TrainingSet | None:
        """The like of the validation split, with the same outputs and experts; None where that has nothing to say."""
        scope = replace(self.scope, split=Split.VALIDATION)
        if scope == self.scope:
            return None
        questions = [
            question
            for question in catalog.questions(connection, scope.benchmark_id, scope.split)
            if self.level is Level.QUERY or question.subject in self.outputs
        ]
        members = experts.pool_members(connection, scope.pool.id)
        names, found = _score_matrix(routers.targets(connection, scope), questions, members)
        scores = np.full((len(questions), len(self.names)), np.nan)
        for column, name in enumerate(self.names):
            if name in names:
                scores[:, column] = found[:, names.index(name)]
        if not questions or (self.level is Level.QUERY and np.isnan(scores).all()):
            return None
        targets = scores if self.level is Level.QUERY else _one_hot(questions, self.outputs)
        return replace(self, scope=scope, examples=_examples(questions, targets), scores=scores)


def _examples(questions: Sequence[Question], targets: Floats) -> Examples:
    return Examples(
        [question.router_input for question in questions], [question.subject for question in questions], targets
    )


def _one_hot(questions: Sequence[Question], subjects: Sequence[str]) -> Floats:
    column_of = {subject: column for column, subject in enumerate(subjects)}
    targets = np.zeros((len(questions), len(subjects)))
    targets[np.arange(len(questions)), [column_of[question.subject] for question in questions]] = 1.0
    return targets


def _score_matrix(
    rows: Iterable[tuple[int, int, float]], questions: Sequence[Question], members: dict[str, int]
) -> tuple[tuple[str, ...], Floats]:
    """Names of the eligible experts, and scores (queries, experts) with NaN where there is none."""
    matrix = fill(rows, [question.id for question in questions], list(members.values()))
    eligible = np.flatnonzero(~np.isnan(matrix).all(axis=0))
    names = list(members)
    return tuple(names[column] for column in eligible), matrix[:, eligible]


def learnable_experts(connection: Connection, scope: Scope) -> tuple[str, ...]:
    """The eligible experts that have a score on a query with a text: those that a query-level router has heads for."""
    questions = catalog.questions(connection, scope.benchmark_id, scope.split)
    members = experts.pool_members(connection, scope.pool.id)
    return _score_matrix(routers.targets(connection, scope), questions, members)[0]
