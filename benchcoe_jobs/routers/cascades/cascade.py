"""A learned cascade: its chains of experts, and for each quality weight the chain and the policy to follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.cascades.answers import Answers, Scales
from benchcoe_jobs.routers.cascades.chain import LEAST_GAIN, LONGEST, select_chain
from benchcoe_jobs.routers.cascades.policy import Action, actions, learn
from benchcoe_jobs.routers.cascades.states import ChainView, n_features
from benchcoe_jobs.routers.cascades.weights import WEIGHTS, cheapest_keeping, weight_number
from benchcoe_jobs.routers.stored import StoredConfig, stored_array

STOP = -1
"""In place of a column: no further expert is asked."""

# The quality weights for which a chain is chosen; at each quality weight, that of them with the highest worth is used.
_CHOSEN_AT = (0.8, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Chain:
    """Experts in the order in which they are asked, by their columns, and the learned actions of each state."""

    columns: tuple[int, ...]
    scales: Scales
    actions: Mapping[tuple[int, int], Action]

    def view(self, predictions: Floats, answers: Answers) -> ChainView:
        """The chain on n questions, from predicted scores and answers (n, k) of all experts."""
        return ChainView(predictions[:, self.columns], predictions, answers.of(self.columns), self.scales)

    def states(self, is_queried: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The state (n,) of each question, from the experts (n, k) that were asked."""
        found: NDArray[np.intp] = is_queried[:, self.columns] @ (1 << np.arange(len(self.columns)))
        return found


class _StoredChain(StoredConfig):
    columns: list[int] = Field(min_length=1, max_length=LONGEST)
    scales: dict[str, Any]


class _Stored(StoredConfig):
    chains: list[_StoredChain] = Field(min_length=1)
    chain_of: list[int] = Field(min_length=len(WEIGHTS), max_length=len(WEIGHTS))
    knows_costs: bool


@dataclass(frozen=True)
class Course:
    """What a policy did on the n questions that it was learned from, cross-fitted, at each quality weight.

    `scores` and `costs` are means, the costs as shares of the dearest expert's; `best_score` and `best_cost` are those
    of the expert with the highest mean score.
    """

    scores: Floats
    costs: Floats
    best_score: float
    best_cost: float

    def keeping(self) -> int | None:
        """The number of the cheapest quality weight that keeps the best expert's mean score; None if none does.

        Of equally cheap ones it is the highest.
        """
        return cheapest_keeping(self.scores - self.best_score, self.costs)


@dataclass(frozen=True)
class Cascade:
    """Chains and, by the number of a quality weight in `WEIGHTS`, the number of the chain that it follows.

    Without `knows_costs` the cost of an expert was unknown in training, and the policy has learned only to ask as long
    as that raises the score. `course` is not stored: a restored cascade has none.
    """

    n_experts: int
    chains: tuple[Chain, ...]
    chain_of: tuple[int, ...]
    knows_costs: bool
    course: Course | None = field(default=None, compare=False)

    @classmethod
    def fit(cls, predictions: Floats, answers: Answers, scores: Floats) -> Self:
        """Learn from questions that each of two or more experts has answered.

        `predictions` (n, k) are scores predicted from the text alone, each question by a model that was fitted without
        it. `scores` (n, k) and `answers` are of the same questions; a cascade may ask the experts that have answered
        all of them.
        """
        candidates = np.flatnonzero((answers.is_known & ~np.isnan(scores)).all(axis=0))
        costs, knows_costs = _shares(answers.costs[:, candidates])
        scales = Scales.fit(answers, scores)
        found = _chains(predictions, answers, scales, scores, costs, candidates)
        chains, fits = [], []
        for columns in found:
            view = ChainView(predictions[:, columns], predictions, answers.of(columns), scales.of(columns))
            places = [int(np.flatnonzero(candidates == column)[0]) for column in columns]
            fitted = learn(view, scores[:, columns], costs[:, places], WEIGHTS)
            chains.append(Chain(tuple(columns), scales.of(columns), fitted.actions))
            fits.append(fitted)
        worth = np.array([fitted.worth(WEIGHTS) for fitted in fits])
        good = worth >= worth.max(axis=0) - LEAST_GAIN  # a smaller difference is chance: the first of them is taken
        chain_of = good.argmax(axis=0)
        best = int(scores[:, candidates].mean(axis=0).argmax())
        course = Course(
            np.array([fits[chain].scores[:, number].mean() for number, chain in enumerate(chain_of)]),
            np.array([fits[chain].costs[:, number].mean() for number, chain in enumerate(chain_of)]),
            float(scores[:, candidates[best]].mean()),
            float(costs[:, best].mean()),
        )
        return cls(scores.shape[1], tuple(chains), tuple(chain_of.tolist()), knows_costs, course)

    def chain_at(self, quality_weight: float) -> Chain:
        """The chain that is followed at a quality weight."""
        return self.chains[self.chain_of[weight_number(quality_weight)]]

    def next_expert(
        self,
        predictions: Floats,
        answers: Answers,
        is_queried: NDArray[np.bool_],
        quality_weight: float,
        is_barred: NDArray[np.bool_],
    ) -> NDArray[np.intp]:
        """The column (n,) of the expert to ask next about each question, or `STOP`.

        `predictions`, `answers`, `is_queried` and `is_barred` are (n, k). An expert that was asked and has no known
        answer counts as one without an answer; one that is barred is not asked.
        """
        chain, number = self.chain_at(quality_weight), weight_number(quality_weight)
        columns, states = np.array(chain.columns), chain.states(is_queried)
        found = np.full(len(predictions), STOP, dtype=np.intp)
        for state in np.unique(states).tolist():
            rows = np.flatnonzero(states == state)
            worth = np.full(len(rows), 0.0 if state else -np.inf)
            features = chain.view(predictions[rows], answers.take(rows)).features(state)
            for place in actions(state, len(columns)):
                gain = chain.actions[state, place].worth(features, number)
                better = (gain > worth) & ~is_barred[rows, columns[place]]
                found[rows[better]], worth = columns[place], np.where(better, gain, worth)
        return found

    def winner(
        self, predictions: Floats, answers: Answers, is_queried: NDArray[np.bool_], quality_weight: float
    ) -> NDArray[np.intp]:
        """The column (n,) of the expert whose answer is given, of those that were asked; see `ChainView.winner`."""
        chain = self.chain_at(quality_weight)
        columns, states = np.array(chain.columns), chain.states(is_queried)
        found = np.full(len(predictions), STOP, dtype=np.intp)
        for state in np.unique(states[states > 0]).tolist():
            rows = np.flatnonzero(states == state)
            found[rows] = columns[chain.view(predictions[rows], answers.take(rows)).winner(state)]
        return found

    def config(self) -> dict[str, Any]:
        """What JSON can hold of the cascade."""
        return {
            "chains": [{"columns": list(chain.columns), "scales": chain.scales.config()} for chain in self.chains],
            "chain_of": list(self.chain_of),
            "knows_costs": self.knows_costs,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The learned actions."""
        return {
            f"{number}.{state}.{place}.{name}": getattr(action, name)
            for number, chain in enumerate(self.chains)
            for (state, place), action in chain.actions.items()
            for name in ("means", "scales", "weights")
        }

    @classmethod
    def restore(cls, n_experts: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The cascade back from `config()` and `arrays()`. Raises ValueError if they do not fit together."""
        stored = _Stored.model_validate(config)
        if not all(0 <= number < len(stored.chains) for number in stored.chain_of):
            raise ValueError("chain_of: there is no such chain")
        chains = tuple(_restored(n_experts, number, chain, arrays) for number, chain in enumerate(stored.chains))
        return cls(n_experts, chains, tuple(stored.chain_of), stored.knows_costs)


def _shares(costs: Floats) -> tuple[Floats, bool]:
    """Costs (n, k) as shares of the dearest expert's mean cost, and whether they are known.

    An answer without a cost gets its expert's mean. If an expert has no known cost, all are zero.
    """
    has = (~np.isnan(costs)).any(axis=0)
    if not has.all():
        return np.zeros_like(costs), False
    means = np.nanmean(costs, axis=0)
    return np.where(np.isnan(costs), means, costs) / (means.max() or 1.0), True


def _chains(
    predictions: Floats,
    answers: Answers,
    scales: Scales,
    scores: Floats,
    costs: Floats,
    candidates: NDArray[np.intp],
) -> list[list[int]]:
    """The different chains that are chosen for the quality weights of `_CHOSEN_AT`."""
    select = partial(
        select_chain,
        predictions,
        answers.of(candidates.tolist()),
        scales.of(candidates.tolist()),
        scores[:, candidates],
        costs,
    )
    found = [candidates[select(weight, candidates)].tolist() for weight in _CHOSEN_AT]
    return [chain for number, chain in enumerate(found) if chain not in found[:number]]


def _restored(n_experts: int, number: int, stored: _StoredChain, arrays: Mapping[str, NDArray[Any]]) -> Chain:
    columns, length = stored.columns, len(stored.columns)
    if len(set(columns)) < length or not all(0 <= column < n_experts for column in columns):
        raise ValueError("columns: the experts of a chain do not fit the router's")
    learned = {}
    for state in range(1 << length):
        width = n_features(n_experts, state)
        for place in actions(state, length):
            shapes: dict[str, tuple[int, ...]] = {
                "means": (width,),
                "scales": (width,),
                "weights": (width + 1, len(WEIGHTS)),
            }
            parts = {n: stored_array(arrays, f"{number}.{state}.{place}.{n}", shape) for n, shape in shapes.items()}
            if not (parts["scales"] > 0).all():
                raise ValueError("scales: a number above zero is expected")
            learned[state, place] = Action(**parts)
    return Chain(tuple(columns), Scales.restore(stored.scales, length), learned)
