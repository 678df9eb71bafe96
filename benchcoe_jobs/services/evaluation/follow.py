"""A cascade that is followed through stored answers: no expert is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.cascades.answers import Answers
from benchcoe_jobs.routers.cascades.weights import WEIGHTS
from benchcoe_jobs.services.evaluation.equal_cost import best_mix
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.cascading import CascadeDecider, Walk
from benchcoe_jobs.services.routing.decider import load_model
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot
from benchcoe_jobs.services.seen_answers import as_answers
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing.answers import seen_answers
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True)
class Followed:
    """A cascade on n questions that every eligible expert which it may ask at any quality weight has answered.

    `predictions` (n, outputs) are from the text alone. `n_left_out` is the number of the other questions.
    """

    decider: CascadeDecider
    questions: list[Question]
    n_left_out: int
    predictions: Floats
    answers: Answers
    has_pictures: NDArray[np.bool_]
    walk: Walk

    @property
    def names(self) -> list[str]:
        """The expert (n,) whose answer is given to each question."""
        return [self.decider.model.outputs[column] for column in self.walk.winner.tolist()]

    def at(self, quality_weight: float) -> Walk:
        """The walk at another quality weight, with the same limit."""
        budget = Budget(self.decider.budget.max_cost, quality_weight)
        decider = replace(self.decider, budget=budget)
        return decider.walk(self.predictions, self.answers, self.has_pictures)

    def take(self, rows: NDArray[np.intp]) -> Followed:
        """The same on some of the questions."""
        return replace(
            self,
            questions=[self.questions[row] for row in rows.tolist()],
            predictions=self.predictions[rows],
            answers=self.answers.take(rows),
            has_pictures=self.has_pictures[rows],
            walk=Walk(self.walk.is_queried[rows], self.walk.winner[rows]),
        )

    def columns(self) -> NDArray[np.intp]:
        """The place (outputs,) of each output among the eligible experts; -1 for one that is not eligible any more."""
        eligible = self.decider.snapshot.eligible
        return np.array([eligible.index(n) if n in eligible else -1 for n in self.decider.model.outputs], dtype=np.intp)

    def paid(self, walk: Walk, costs: Floats) -> Floats:
        """The cost (n,) of all answers that a walk asked for; `costs` (n, eligible)."""
        columns = self.columns()
        of_outputs = np.where(columns >= 0, costs[:, columns], 0.0)
        paid: Floats = np.where(walk.is_queried, of_outputs, 0.0).sum(axis=1)
        return paid


def follow(
    store: Store,
    home: Path,
    snapshot: RoutingSnapshot,
    benchmark_id: int,
    split: str,
    questions: Sequence[Question],
    budget: Budget,
) -> Followed:
    """Follow a cascade through the stored answers to some questions.

    Raises UsageError if none of them has an answer of every expert that the cascade may ask, and as
    `CascadeDecider.check` does.
    """
    model = load_model(store, home, snapshot)
    decider = CascadeDecider(snapshot, model, budget)
    decider.check()
    ids = [snapshot.members.get(name, -1) for name in model.outputs]
    inputs = [question.router_input for question in questions]
    with store.reading() as connection:
        rows = seen_answers(connection, benchmark_id, split, ids)
        answers = as_answers(rows, [question.id for question in questions], ids, inputs)
    queried = decider.columns_to_ask()
    kept = np.flatnonzero(answers.is_known[:, queried].all(axis=1))
    if not len(kept):
        fewest = min(queried, key=lambda column: int(answers.is_known[:, column].sum()))
        raise UsageError(
            f"a cascade is evaluated on stored responses, and no query of split {split} has one of every expert that "
            f"{snapshot.router.name!r} may ask: {model.outputs[fewest]} has {answers.is_known[:, fewest].sum()} of "
            f"{len(questions)}. Ask it with `benchcoe-jobs profile {model.outputs[fewest]}`"
        )
    known, answers = [questions[row] for row in kept.tolist()], answers.take(kept)
    predictions = model.predict([question.router_input for question in known])
    has_pictures = np.array([bool(question.router_input.pictures) for question in known], dtype=bool)
    walk = decider.walk(predictions, answers, has_pictures)
    return Followed(decider, known, len(questions) - len(kept), predictions, answers, has_pictures, walk)


def cascade_figures(followed: Followed, scores: Floats, costs: Floats) -> dict[str, Any]:
    """What the report says of a cascade, over questions with scores and costs (n, eligible); see `Report.cascade`."""
    walk, names = followed.walk, followed.decider.model.outputs
    n = len(walk.winner)
    chain = [names.index(name) for name in followed.decider.chain]
    place = walk.is_queried[:, chain]
    first, last = place.argmax(axis=1), len(chain) - 1 - place[:, ::-1].argmax(axis=1)
    figures: dict[str, Any] = {
        "chain": followed.decider.chain,
        "mean_answers": float(walk.is_queried.sum(axis=1).mean()),
        "first": {names[column]: float((first == at).sum() / n) for at, column in enumerate(chain)},
        "stopped_after": {names[column]: float((last == at).sum() / n) for at, column in enumerate(chain)},
        "text_router": None,
    }
    if np.isnan(costs).any():
        return figures
    mine = scores[np.arange(n), followed.columns()[walk.winner]]
    paid = float(followed.paid(walk, costs).mean())
    text = best_mix(*_ways_of_text(followed, scores, costs), paid)
    low, high = mean_interval(mine - text)
    figures["text_router"] = {
        "accuracy": float(text.mean()),
        "gain": {"value": float((mine - text).mean()), "low": low, "high": high},
    }
    return figures


def _ways_of_text(followed: Followed, scores: Floats, costs: Floats) -> tuple[Floats, Floats]:
    """Scores and costs (n, ways) of one answer to each question: the text router's, and each expert's."""
    snapshot, columns = followed.decider.snapshot, followed.columns()
    expected = np.full((len(scores), len(snapshot.eligible)), -np.inf)
    expected[:, columns[columns >= 0]] = followed.predictions[:, columns >= 0]
    ways = [
        Budget(None, weight).worth(expected, snapshot.eligible, snapshot.costs).argmax(axis=1) for weight in WEIGHTS
    ]
    ways += [np.full(len(scores), column) for column in range(len(snapshot.eligible))]
    chosen, rows = np.column_stack(ways), np.arange(len(scores))[:, None]
    return scores[rows, chosen], costs[rows, chosen]
