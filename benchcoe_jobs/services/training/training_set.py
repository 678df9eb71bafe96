"""The training set of a router: the questions of a split, and the experts' scores on them."""

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
from benchcoe_jobs.services.seen_answers import as_answers
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.routing.answers import seen_answers


@dataclass(frozen=True)
class TrainingSet:
    """The examples of a scope, with a target column for each output, and the scores (n, experts) of `names`."""

    scope: Scope
    level: Level
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    examples: Examples
    scores: Floats

    @property
    def calibration_scores(self) -> Floats | None:
        """The scores (n, experts), or None if there are none: reported scores say nothing about single questions."""
        return None if np.isnan(self.scores).all() else self.scores

    def with_answers(self, connection: Connection) -> TrainingSet:
        """The set with the experts' stored answers, for a kind that learns from them; for query level."""
        scope, members = self.scope, experts.expert_ids(connection)
        ids = [members[name] for name in self.names]
        questions = catalog.questions(connection, scope.benchmark_id, scope.split)
        rows = seen_answers(connection, scope.benchmark_id, scope.split, ids)
        answers = as_answers(rows, [question.id for question in questions], ids, self.examples.questions)
        return replace(self, examples=replace(self.examples, answers=answers))

    @classmethod
    def read(cls, connection: Connection, scope: Scope, level: Level) -> TrainingSet:
        """The training set of a scope. Raises UsageError if no query has a text."""
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
        """The set of the validation split, with the same outputs and experts; None if it has no usable question."""
        scope = replace(self.scope, split=Split.VALIDATION)
        if scope == self.scope:
            return None
        questions = [
            question
            for question in catalog.questions(connection, scope.benchmark_id, scope.split)
            if self.level is Level.QUERY or question.subject in self.outputs
        ]
        members = experts.expert_ids(connection)
        rows = routers.targets(connection, scope)
        scores = fill(rows, [question.id for question in questions], [members[name] for name in self.names])
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
    """The names of the eligible experts, and their scores (queries, experts), NaN if a score is missing."""
    matrix = fill(rows, [question.id for question in questions], list(members.values()))
    eligible = np.flatnonzero(~np.isnan(matrix).all(axis=0))
    names = list(members)
    return tuple(names[column] for column in eligible), matrix[:, eligible]


def learnable_experts(connection: Connection, scope: Scope) -> tuple[str, ...]:
    """The eligible experts with a score on a query that has a text: a query-level router has a head for each."""
    questions = catalog.questions(connection, scope.benchmark_id, scope.split)
    members = experts.pool_members(connection, scope.pool.id)
    return _score_matrix(routers.targets(connection, scope), questions, members)[0]
