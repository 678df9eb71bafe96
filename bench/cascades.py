"""Cascades against routers of the text, thresholds on a cheap answer, and majorities, at equal cost on real answers.

    OMP_NUM_THREADS=1 python bench/cascades.py STORE_FOLDER [--seeds 3] [--text blend|tfidf] [--pools NAME ...]

STORE_FOLDER is a folder that bench/mmlu_pro.py --store made; answers and embeddings are read from it. The cost of an
answer is the price of bench/stages.py times the tokens of question and answer, at four characters a token. A limit is a
share of the cost of the best single expert; what keeps it is chosen on train: the cascade's quality weight, and the
pair and threshold of the FrugalGPT-like cascade (a learned score of the first answer, from the same features). The
frontier of the text router, which is the one inside the cascade, is drawn in hindsight on test: over all quality
weights and single experts, and mixes of two of these.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
from harness import markdown
from numpy.typing import NDArray
from routing import DATA, POOLS, Data, Found, begin, by_question, complete, less, split
from stages import PRICES

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.cascades.answers import NO_ANSWER, Answers, Scales
from benchcoe_jobs.routers.cascades.cascade import STOP, Cascade
from benchcoe_jobs.routers.cascades.head import CascadeHead
from benchcoe_jobs.routers.cascades.policy import FOLDS, CrossFit
from benchcoe_jobs.routers.cascades.states import ChainView
from benchcoe_jobs.routers.cascades.weights import WEIGHTS
from benchcoe_jobs.routers.model import new_trainer
from benchcoe_jobs.services.evaluation.equal_cost import best_mix
from benchcoe_jobs.services.seen_answers import as_answers
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.routing.answers import seen_answers
from benchcoe_jobs.store.session import open_store

POOLS["steep"] = ["Meta-Llama-3_1-8B-Instruct", "mathstral-7B", "Phi-3-mini-4k-instruct", "gemini-1.5-flash-002"]
POOLS["alike"] = [
    "Meta-Llama-3_1-8B-Instruct",
    "mathstral-7B",
    "Mixtral-8x7B-Instruct-v0.1",
    "Phi-3-mini-4k-instruct",
    "c4ai-command-r-v01",
]
LIMITS = (0.5, 1.0, 2.0, np.inf)
_CHARACTERS = 4


@dataclass(frozen=True)
class Run:
    """What one split assignment gave for a pool at a limit, by test question."""

    rows: NDArray[np.intp]
    cost: float
    answers: float
    cascade: Floats
    text: Floats
    threshold: Floats
    best_single: Floats


@dataclass(frozen=True)
class Majority:
    """The majority of the three cheapest experts, and the cascade at the same cost."""

    rows: NDArray[np.intp]
    cost: float
    majority: Floats
    cascade: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--text", choices=["blend", "tfidf"], default="blend")
    parser.add_argument("--pools", nargs="+")
    options = parser.parse_args()
    begin(options.store)
    data = DATA[0]
    if options.text == "tfidf":
        data = replace(data, setting=TrainingContext())
    answers = read_answers(options.store, data)
    rows, votes = [], []
    for pool in options.pools or list(POOLS):
        found: dict[float, list[Run]] = {limit: [] for limit in LIMITS}
        majorities = []
        for seed in range(options.seeds):
            resplit = Resplit.of(data, answers, pool, seed)
            for limit in LIMITS:
                found[limit].append(resplit.at(limit))
            majorities.append(resplit.majority())
            print(f"{pool}, seed {seed}: {resplit.chains}", file=sys.stderr, flush=True)
        rows += [row(pool, limit, runs) for limit, runs in found.items()]
        print(rows[-len(LIMITS) :], file=sys.stderr, flush=True)
        votes.append(vote_row(pool, majorities))
    print(f"## Cascades on MMLU-Pro, text router {options.text}, {options.seeds} split assignments\n")
    columns = [
        "pool",
        "limit",
        "cost",
        "answers",
        "accuracy",
        "over the best single",
        "over the text router's frontier",
    ]
    markdown([*columns, "over a threshold on the first answer"], rows)
    markdown(["pool", "cost", "majority of the three cheapest", "cascade at its cost, less the majority"], votes)


def row(pool: str, limit: float, runs: list[Run]) -> list[str]:
    cascade, text, threshold, single = (
        [(run.rows, getattr(run, name)) for run in runs] for name in ("cascade", "text", "threshold", "best_single")
    )
    return [
        pool,
        "none" if np.isinf(limit) else f"{limit:g}",
        f"{np.mean([run.cost for run in runs]):.2f}",
        f"{np.mean([run.answers for run in runs]):.2f}",
        f"{100 * by_question(cascade)[1].mean():.2f}",
        *(less(cascade, other) for other in (single, text, threshold)),
    ]


def vote_row(pool: str, found: list[Majority]) -> list[str]:
    majority: Found = [(one.rows, one.majority) for one in found]
    cost = f"{np.mean([one.cost for one in found]):.2f}"
    accuracy = f"{100 * by_question(majority)[1].mean():.2f}"
    return [pool, cost, accuracy, less([(one.rows, one.cascade) for one in found], majority)]


def read_answers(folder: Path, data: Data) -> Answers:
    """The answers (n, experts) to every question, with their costs."""
    store = open_store(f"sqlite:///{folder.resolve()}/benchcoe.db")
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        ids = list(experts.expert_ids(connection).values())
        rows = [
            answer
            for name in ("train", "validation", "test")
            for answer in seen_answers(connection, benchmark_id, name, ids)
        ]
    inputs = [question.router_input for question in data.questions]
    answers = as_answers(rows, [question.id for question in data.questions], ids, inputs)
    queried = np.array([len(one.whole) for one in inputs])
    prices = np.array([PRICES[name] for name in data.names])
    return replace(answers, costs=prices * (queried[:, None] + answers.lengths) / _CHARACTERS)


@dataclass(frozen=True)
class Resplit:
    """A pool in one split assignment: a trained cascade, and what all ways to answer give on test.

    `predictions`, `answers` and `scores` (n, experts) are of all questions; `cascade_at` has the scores and costs of
    the test questions at each quality weight, and `train_costs` the mean costs on train.
    """

    names: list[str]
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    scores: Floats
    answers: Answers
    predictions: Floats
    cascade: Cascade
    cascade_at: list[tuple[Floats, Floats, Floats]]
    train_costs: Floats

    @classmethod
    def of(cls, data: Data, answers: Answers, pool: str, seed: int) -> Resplit:
        names = POOLS[pool]
        columns = [data.names.index(name) for name in names]
        scores, answers = data.scores[:, columns], answers.of(columns)
        train, test = split(data, seed)
        train, test = complete(scores, train), complete(scores, test)
        inputs = [question.router_input for question in data.questions]
        examples = Examples(inputs, data.subjects.tolist(), scores, answers)
        model = new_trainer(Level.QUERY, "cascade", None, data.setting).fit(tuple(names), examples.take(train))
        assert isinstance(model.head, CascadeHead)
        predictions = np.full(scores.shape, np.nan)
        both = np.concatenate([train, test])
        predictions[both] = model.predict([inputs[r] for r in both])
        walks = [walk(model.head.cascade, predictions[both], answers.take(both), weight) for weight in WEIGHTS]
        n, costs = len(train), answers.costs[both]
        at = [
            (scores[test, winner[n:]], (costs * queried).sum(axis=1)[n:], queried.sum(axis=1)[n:] * 1.0)
            for queried, winner in walks
        ]
        paid = np.array([(costs * queried).sum(axis=1)[:n].mean() for queried, _ in walks])
        return cls(names, train, test, scores, answers, predictions, model.head.cascade, at, paid)

    @property
    def chains(self) -> str:
        shown = (" > ".join(self.names[column] for column in chain.columns) for chain in self.cascade.chains)
        return "; ".join(shown)

    @property
    def best(self) -> int:
        return int(self.scores[self.train].mean(axis=0).argmax())

    def at(self, limit: float) -> Run:
        single = self.answers.costs[self.train, self.best].mean()
        number = int(np.flatnonzero(self.train_costs <= max(limit * single, self.train_costs.min() * 1.02))[-1])
        score, cost, queried = self.cascade_at[number]
        of_test = self.answers.costs[self.test, self.best].mean()
        return Run(
            self.test,
            float(cost.mean() / of_test),
            float(queried.mean()),
            score,
            self.text_at(float(cost.mean())),
            self.threshold_at(limit * single),
            self.scores[self.test, self.best],
        )

    def text_at(self, cost: float) -> Floats:
        """Scores of the text router's frontier at a cost: its best mix of two ways that costs as much."""
        means = self.answers.costs[self.train].mean(axis=0)
        shares = means / means.max()
        chosen = [(w * self.predictions[self.test] - (1 - w) * shares).argmax(axis=1) for w in WEIGHTS]
        chosen += [np.full(len(self.test), column) for column in range(len(self.names))]
        ways, rows = np.column_stack(chosen), self.test[:, None]
        return best_mix(self.scores[rows, ways], self.answers.costs[rows, ways], cost)

    def threshold_at(self, limit: float) -> Floats:
        """Scores of the pair of experts and the threshold on the first answer that are best on train at a limit."""
        best = (-1.0, 0, 0, -np.inf)
        fits = {first: self.first_answer(first) for first in range(len(self.names))}
        scores, costs = self.scores[self.train], self.answers.costs[self.train]
        for first, second in permutations(range(len(self.names)), 2):
            certain = fits[first][0]
            for threshold in (-np.inf, *np.quantile(certain, np.linspace(0.05, 1.0, 20))):
                goes_on = certain < threshold
                cost = costs[:, first].mean() + (costs[:, second] * goes_on).mean()
                accuracy = float(np.where(goes_on, scores[:, second], scores[:, first]).mean())
                if cost <= limit + 1e-9 and accuracy > best[0]:
                    best = (accuracy, first, second, float(threshold))
        if best[0] < 0:  # no pair is cheap enough
            cheapest = int(costs.mean(axis=0).argmin())
            return self.scores[self.test, cheapest]
        _, first, second, threshold = best
        goes_on = fits[first][1] < threshold
        return np.where(goes_on, self.scores[self.test, second], self.scores[self.test, first])

    def first_answer(self, column: int) -> tuple[Floats, Floats]:
        """The predicted score of an expert's answer, from the text and what is seen of it: out of fold, and on test."""
        scales = Scales.fit(self.answers.take(self.train), self.scores[self.train]).of([column])
        features = [
            ChainView(
                self.predictions[r][:, [column]], self.predictions[r], self.answers.take(r).of([column]), scales
            ).features(1)
            for r in (self.train, self.test)
        ]
        fit = CrossFit(features[0], np.random.default_rng(0).permutation(len(self.train)) % FOLDS)
        predicted, weights = fit.fit(self.scores[self.train][:, [column]])
        on_test = (features[1] - fit.means) / fit.scales @ weights[:-1] + weights[-1]
        return predicted[:, 0], on_test[:, 0]

    def majority(self) -> Majority:
        """The three cheapest experts, all asked; of equal votes, the answer of the one that is best on train."""
        cheap = np.argsort(self.answers.costs[self.train].mean(axis=0))[:3]
        cheap = cheap[np.argsort(-self.scores[self.train][:, cheap].mean(axis=0))]
        codes = self.answers.codes[self.test][:, cheap]
        votes = np.where(codes == NO_ANSWER, -1, (codes[:, :, None] == codes[:, None, :]).sum(axis=2))
        winner = cheap[votes.argmax(axis=1)]
        cost = self.answers.costs[self.test][:, cheap].sum(axis=1).mean()
        single = self.answers.costs[self.test, self.best].mean()
        at = [np.column_stack(part) for part in zip(*self.cascade_at, strict=True)]
        same = best_mix(at[0], at[1], float(cost))
        return Majority(self.test, float(cost / single), self.scores[self.test, winner], same)


def walk(
    cascade: Cascade, predictions: Floats, answers: Answers, weight: float
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """The experts that were asked (n, k), and whose answer was given (n,)."""
    queried = np.zeros(predictions.shape, dtype=bool)
    barred = np.zeros_like(queried)
    rows = np.arange(len(queried))
    while len(rows):
        found = cascade.next_expert(predictions[rows], answers.take(rows), queried[rows], weight, barred[rows])
        rows, found = rows[found != STOP], found[found != STOP]
        queried[rows, found] = True
    return queried, cascade.winner(predictions, answers, queried, weight)


if __name__ == "__main__":
    main()
