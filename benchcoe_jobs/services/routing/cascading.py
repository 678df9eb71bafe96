"""A cascade that is ready to decide: which expert to ask, whether to ask another one, and whose answer to give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.cascades.answers import Answers
from benchcoe_jobs.routers.cascades.cascade import STOP, Cascade
from benchcoe_jobs.routers.cascades.head import CascadeHead
from benchcoe_jobs.routers.cascades.weights import WEIGHTS, weight_number
from benchcoe_jobs.routers.model import RouterModel
from benchcoe_jobs.routers.traits import asks_in_stages
from benchcoe_jobs.services.routing.budget import AUTO, Budget, require_costs
from benchcoe_jobs.services.routing.decider import Choice, decider, load_model
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, take_snapshot
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.session import Store


@dataclass(frozen=True, slots=True)
class Walk:
    """What a cascade did with n questions: the experts that it asked (n, outputs), and whose answer it gave (n,)."""

    is_queried: NDArray[np.bool_]
    winner: NDArray[np.intp]


@dataclass(frozen=True)
class CascadeDecider:
    """A cascade with the budget that it keeps, which is `settled`. Columns are those of the model's outputs."""

    snapshot: RoutingSnapshot
    model: RouterModel
    budget: Budget

    @property
    def cascade(self) -> Cascade:
        """The cascade of the model."""
        assert isinstance(self.model.head, CascadeHead)  # noqa: S101
        return self.model.head.cascade

    @cached_property
    def quality_weight(self) -> float:
        """The highest quality weight, up to that of the budget, whose chain has an expert that may be asked.

        If there is none, it is the next one above. Raises UsageError if no chain has such an expert, because of the
        budget's limit or because none is eligible any more.
        """
        own = weight_number(self._weight)
        for number in [*range(own, -1, -1), *range(own + 1, len(WEIGHTS))]:
            columns = list(self.cascade.chains[self.cascade.chain_of[number]].columns)
            if self._is_allowed[columns].any():
                return float(WEIGHTS[number])
        name, pool = self.snapshot.router.name, self.snapshot.router.scope.pool.name
        limit = (
            "" if self.budget.max_cost is None else f" and expected to cost at most {self.budget.max_cost:g} a query"
        )
        raise UsageError(
            f"no expert of the cascade {name!r} is eligible in pool {pool!r}{limit}: raise --max-cost, or train it "
            "again with `benchcoe-jobs train-router`"
        )

    @property
    def chain(self) -> list[str]:
        """The experts that may be asked, in order."""
        columns = self.cascade.chain_at(self.quality_weight).columns
        return [self.model.outputs[column] for column in columns if self._is_allowed[column]]

    def columns_to_ask(self) -> list[int]:
        """The columns of the eligible experts that are asked at any quality weight."""
        columns = {column for chain in self.cascade.chains for column in chain.columns}
        return sorted(column for column in columns if self._is_eligible[column])

    def check(self) -> None:
        """Raise UsageError if the budget needs costs that are not known, or if no expert may be asked."""
        if self.budget.counts:
            eligible = [name for name in self.model.outputs if name in self.snapshot.eligible]
            require_costs(eligible, self.snapshot.costs)
        if self._weight < 1.0 and not self.cascade.knows_costs:
            raise UsageError(
                f"the cost of an expert was not known when router {self.snapshot.router.name!r} was trained, so it "
                "knows no quality weight below 1: train it again with `benchcoe-jobs train-router`"
            )
        _ = self.quality_weight

    def next_expert(
        self,
        predictions: Floats,
        answers: Answers,
        is_queried: NDArray[np.bool_],
        has_pictures: NDArray[np.bool_],
    ) -> NDArray[np.intp]:
        """The column (n,) of the expert to ask next about each question, or `STOP`; see `Cascade.next_expert`.

        A question with pictures is not asked of an expert that cannot see, and no question costs more than the budget's
        limit. Raises UsageError if a question cannot be asked of any expert.
        """
        is_barred = np.broadcast_to(~self._is_eligible, is_queried.shape) | (has_pictures[:, None] & self._is_blind)
        if self.budget.max_cost is not None:
            spent = is_queried @ self._costs
            is_barred = is_barred | (spent[:, None] + self._costs > self._limit)
        found = self.cascade.next_expert(predictions, answers, is_queried, self.quality_weight, is_barred)
        if ((found == STOP) & ~is_queried.any(axis=1)).any():
            raise UsageError(
                f"a question cannot be asked of any expert of the cascade {self.snapshot.router.name!r}: those that "
                "its budget allows are not eligible any more, or cannot see its pictures"
            )
        return found

    def winner(self, predictions: Floats, answers: Answers, is_queried: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The column (n,) of the expert whose answer is given."""
        return self.cascade.winner(predictions, answers, is_queried, self.quality_weight)

    def walk(self, predictions: Floats, answers: Answers, has_pictures: NDArray[np.bool_]) -> Walk:
        """Follow the cascade through stored answers; it sees those of the experts that it has asked."""
        is_queried = np.zeros(predictions.shape, dtype=bool)
        rows = np.arange(len(predictions))
        while len(rows):
            found = self.next_expert(predictions[rows], answers.take(rows), is_queried[rows], has_pictures[rows])
            rows, found = rows[found != STOP], found[found != STOP]
            is_queried[rows, found] = True
        return Walk(is_queried, self.winner(predictions, answers, is_queried))

    def first(self, questions: Sequence[RouterInput]) -> list[Choice]:
        """The expert to ask first about each question. Raises UsageError as `check` and `next_expert` do."""
        self.check()
        if not questions:
            return []
        predictions = self.model.predict(questions)
        nothing = Answers.none([len(question.choices) for question in questions], len(self.model.outputs))
        has_pictures = np.array([bool(question.pictures) for question in questions], dtype=bool)
        columns = self.next_expert(predictions, nothing, nothing.is_known, has_pictures)
        return [self._first_choice(predictions[row], column) for row, column in enumerate(columns.tolist())]

    def _first_choice(self, predicted: Floats, column: int) -> Choice:
        expert, chain = self.model.outputs[column], self.chain
        later = chain[chain.index(expert) + 1 :]
        rest = f"then perhaps {', '.join(later)}, which depends on its answer" if later else "and no other"
        why = f"is asked first, {rest}; predicted score {predicted[column]:.3f}"
        return Choice(expert, None, float(predicted[column]), why + self.budget.why(self.snapshot.costs.get(expert)))

    @property
    def _weight(self) -> float:
        if self.budget.quality_weight == AUTO:
            raise ValueError("the quality weight must be settled")
        return self.budget.quality_weight

    @property
    def _limit(self) -> float:
        return np.inf if self.budget.max_cost is None else self.budget.max_cost

    @cached_property
    def _is_eligible(self) -> NDArray[np.bool_]:
        return np.array([name in self.snapshot.eligible for name in self.model.outputs], dtype=bool)

    @cached_property
    def _is_allowed(self) -> NDArray[np.bool_]:
        """Whether each output is eligible, and alone within the budget's limit."""
        allowed: NDArray[np.bool_] = self._is_eligible & (self._costs <= self._limit)
        return allowed

    @cached_property
    def _is_blind(self) -> NDArray[np.bool_]:
        return np.array([name in self.snapshot.blind for name in self.model.outputs], dtype=bool)

    @cached_property
    def _costs(self) -> Floats:
        """The expected cost of each output; with a limit, an unknown cost is above it."""
        costs = self.snapshot.costs
        unknown = 0.0 if self.budget.max_cost is None else np.inf
        return np.array([unknown if (cost := costs.get(name)) is None else cost for name in self.model.outputs])


def first_choices(
    store: Store,
    home: Path,
    router_name: str | None,
    questions: Sequence[RouterInput],
    budget: Budget,
    *,
    falls_back: bool = True,
) -> tuple[RoutingSnapshot, list[Choice]]:
    """The snapshot of a router, as it is now, and the expert that it asks about each question, of a cascade at first.

    None means the only router of the store. If a training replaces the router meanwhile, the new one decides. Raises
    the errors of `take_snapshot`, `load_model` and `Decider.choose`.
    """
    while True:
        with store.reading() as connection:
            snapshot = take_snapshot(connection, router_name)
        try:
            if asks_in_stages(snapshot.router.kind):
                budget = budget.settled(snapshot.router.auto_weight, snapshot.router.name)
                return snapshot, CascadeDecider(snapshot, load_model(store, home, snapshot), budget).first(questions)
            return snapshot, decider(store, home, snapshot, falls_back=falls_back).choose(questions, budget)
        except routers.ReplacedError:
            continue
