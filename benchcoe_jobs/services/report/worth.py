"""Whether a router would pay, from the training split alone: nested cross-validation.

In each outer fold, an inner cross-validation over the other folds chooses between routers of kind `tfidf` at subject
and at query level, and no router. What was chosen is trained on the other folds and measured on the fold. No question
decides about its own measurement, so that the gain is not too high, as that of the best of several routers on the same
questions is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level, RouterInput, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.tfidf import TFIDF
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.labelling.scope import best_single, find_scope
from benchcoe_jobs.services.report.verdict import Measured, Verdict, verdict
from benchcoe_jobs.services.training.training_set import TrainingSet
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import Store

FOLDS = 4
N_TRAININGS = FOLDS + FOLDS * (FOLDS - 1) // 2
"""One training without each fold, and one without each pair of folds; both levels read the same features."""

_FEWEST = 100
"""With fewer questions an interval is too wide to decide anything."""


@dataclass(frozen=True, slots=True)
class Worth:
    """The estimate, over the `n` questions of a split on which every eligible expert has a score.

    `gain` is over the best single expert of the other folds, as a fraction with its 95 % bootstrap interval. `chosen`
    counts the folds by what the inner cross-validation chose. `cost_ratio` is None if costs are unknown.
    """

    pool: str
    benchmark: str
    split: str
    n: int
    verdict: Verdict
    gain: dict[str, float]
    chosen: dict[str, int]
    cost_ratio: float | None
    oracle: float

    def as_json(self) -> dict[str, Any]:
        """The estimate as one JSON object."""
        return asdict(self)


def worth(
    store: Store, *, pool: str, benchmark: str | None, progress: Callable[[int], object] = lambda trainings: None
) -> Worth:
    """Estimate what a router over a pool would gain on a benchmark. The store is not changed.

    `progress` is called with 1 after each of `N_TRAININGS` trainings. Raises UsageError for unknown names, and if there
    are too few questions or fewer than two eligible experts.
    """
    with store.reading() as connection:
        scope = find_scope(connection, pool, benchmark, Split.TRAIN)
        single = best_single(connection, scope)
        training_set = TrainingSet.read(connection, scope, Level.QUERY)
        members = experts.pool_members(connection, scope.pool.id)
        given = experts.costs(connection)
        recorded = evaluations.mean_costs(connection, scope.benchmark_id, scope.split, members.values())
    costs = np.array([np.nan if (c := recorded.get(members[n]) or given[n]) is None else c for n in training_set.names])
    order = sorted(
        range(len(costs)), key=lambda column: (np.isnan(costs[column]), costs[column], training_set.names[column])
    )  # of equal experts the first is taken, as the label views do
    names = [training_set.names[column] for column in order]
    questions = _Questions(
        training_set.examples.questions,
        np.array(training_set.examples.subjects),
        training_set.scores[:, order],
        names,
        scope.pool.min_coverage,
        progress,
    )
    _require_enough(questions, scope.benchmark)
    chosen, columns, singles = _outer(questions)
    rows = np.flatnonzero(questions.is_complete)
    scores = questions.scores[rows]
    routed, alone = scores[np.arange(len(rows)), columns[rows]], scores[np.arange(len(rows)), singles[rows]]
    low, high = mean_interval(routed - alone)
    ratio = None
    if not np.isnan(costs).any() and (paid := costs[order][singles[rows]].mean()):
        ratio = float(costs[order][columns[rows]].mean() / paid)
    gain = {"value": float((routed - alone).mean()), "low": low, "high": high}
    oracle = float(scores.max(axis=1).mean())
    measured = Measured(
        router=_described(chosen),
        best_single=single,
        best_single_accuracy=float(alone.mean()),
        gain=gain["value"],
        low=low,
        high=high,
        n=len(rows),
        where=f"questions of {scope.benchmark}, split {scope.split}, in nested cross-validation",
        cost_ratio=ratio,
        oracle=oracle,
    )
    return Worth(
        scope.pool.name, scope.benchmark, scope.split, len(rows), verdict(measured), gain, chosen, ratio, oracle
    )


NO_ROUTER = "no router"


@dataclass
class _Questions:
    """All questions of the split, their scores (n, experts), and the fold of each; copies are in the same fold."""

    inputs: Sequence[RouterInput]
    subjects: NDArray[np.str_]
    scores: Floats
    names: list[str]
    min_coverage: float
    progress: Callable[[int], object]
    known: dict[frozenset[int], dict[Level, NDArray[np.intp]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        digests = [hashlib.sha256(one.whole.encode("utf-8", "surrogatepass")).digest() for one in self.inputs]
        self.fold = np.array([digest[0] % FOLDS for digest in digests])
        self.is_complete = ~np.isnan(self.scores).any(axis=1)

    def best(self, rows: NDArray[np.bool_], otherwise: int = 0) -> int:
        """The expert with the highest mean on some rows, among those with enough coverage of them."""
        here = self.scores[rows]
        covered = (~np.isnan(here)).mean(axis=0) >= self.min_coverage if len(here) else np.zeros(len(self.names), bool)
        if not covered.any():
            return otherwise
        return int(
            np.where(covered, np.nansum(here, axis=0) / np.maximum((~np.isnan(here)).sum(axis=0), 1), -1).argmax()
        )

    def routed(self, level: Level, left_out: frozenset[int]) -> NDArray[np.intp]:
        """The expert that a router chooses for each question (n,), if it is trained without some folds.

        Only the choices for questions of these folds are predictions; the others are the best single expert.
        """
        if left_out not in self.known:
            self.known[left_out] = self._routed(np.isin(self.fold, list(left_out)))
            self.progress(1)
        return self.known[left_out][level]

    def _routed(self, tested: NDArray[np.bool_]) -> dict[Level, NDArray[np.intp]]:
        features = TFIDF.features(TrainingContext())
        features.fit([self.inputs[row] for row in np.flatnonzero(~tested).tolist()])
        x = features.transform(self.inputs)
        single = self.best(~tested)
        found = {level: np.full(len(tested), single) for level in Level}
        rows = np.flatnonzero(~tested & ~np.isnan(self.scores).all(axis=1))
        names = np.unique(self.subjects[rows])
        experts_of = np.array([self.best(~tested & (self.subjects == name), single) for name in names])
        one_hot = (self.subjects[rows][:, None] == names[None, :]).astype(np.float64)
        scored = np.flatnonzero((~np.isnan(self.scores[rows])).any(axis=0))
        for level, targets, table in (
            (Level.SUBJECT, one_hot, experts_of),
            (Level.QUERY, self.scores[rows][:, scored], scored),
        ):
            if len(table) > 1:
                head = next(iter(TFIDF.heads[level].values()))()
                head.fit(x[rows], Examples([], self.subjects[rows].tolist(), targets))
                found[level][tested] = table[head.predict(x[np.flatnonzero(tested)]).argmax(axis=1)]
        return found

    def gains(self, level: Level, left_out: frozenset[int], fold: int) -> Floats:
        """The gains over the best single expert on the complete questions of a fold, of a router without `left_out`."""
        rows = np.flatnonzero((self.fold == fold) & self.is_complete)
        single = self.best(~np.isin(self.fold, list(left_out)))
        routed = self.routed(level, left_out)
        gains: Floats = self.scores[rows, routed[rows]] - self.scores[rows, single]
        return gains


def _outer(questions: _Questions) -> tuple[dict[str, int], NDArray[np.intp], NDArray[np.intp]]:
    """What was chosen in how many folds; the expert chosen for each question (n,), and the best single expert (n,)."""
    chosen: Counter[str] = Counter()
    columns = np.zeros(len(questions.fold), dtype=np.intp)
    singles = np.zeros(len(questions.fold), dtype=np.intp)
    for fold in range(FOLDS):
        here = questions.fold == fold
        singles[here] = questions.best(~here)
        mean_of = {level: _inner_gain(questions, level, fold) for level in Level}
        level = max(mean_of, key=lambda one: mean_of[one])
        routed = questions.routed(level, frozenset({fold}))  # also if it is not used: the number of trainings is known
        columns[here] = routed[here] if mean_of[level] > 0 else singles[here]
        chosen[f"{level} level" if mean_of[level] > 0 else NO_ROUTER] += 1
    return dict(chosen.most_common()), columns, singles


def _inner_gain(questions: _Questions, level: Level, outer: int) -> float:
    """The mean gain of a level in the cross-validation over all folds but one."""
    inner = [questions.gains(level, frozenset({outer, fold}), fold) for fold in range(FOLDS) if fold != outer]
    return float(np.concatenate(inner).mean())


def _described(chosen: dict[str, int]) -> str:
    levels = [name for name in chosen if name != NO_ROUTER]
    if not levels:
        return "a tfidf router, which never promised a gain,"
    return f"a tfidf router at {' or '.join(levels)}"


def _require_enough(questions: _Questions, benchmark: str) -> None:
    if len(questions.names) < 2:
        raise UsageError(
            f"{benchmark}, split {Split.TRAIN}, has {len(questions.names)} eligible expert: a router chooses "
            "between two or more. `benchcoe-jobs build-labels --level subject` lists those that are left out"
        )
    if (n := int(questions.is_complete.sum())) < _FEWEST:
        raise UsageError(
            f"{benchmark}, split {Split.TRAIN}, has {n} questions with a text and a score of every eligible expert, "
            f"and the estimate needs {_FEWEST}: import or profile more"
        )
