"""Profiling that stops when a subject is settled, replayed on the real MMLU-Pro files.

    OMP_NUM_THREADS=1 python bench/progressive.py STORE [--orders 3] [--confidence 0.999] [--worthwhile 0.01]

STORE is a folder that mmlu_pro.py made. Each expert in turn is the newcomer to pools of other experts, random ones and
those of the most similar accuracy. Its stored scores of the train split are revealed round by round by the code of
`profile --until-settled`. Printed are the share of the questions that it was asked, the subjects whose label differs
from that of the full profile, and what this changes in the test accuracy if the subject of a question is known. The
rule to compare with, "z = 3", tests a paired mean with a control variate at each look, without a correction for looks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from harness import markdown
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.services.settling.predicted_scores import Features
from benchcoe_jobs.services.settling.rounds import Rival, Rule, next_round, settled
from benchcoe_jobs.services.settling.sequential_test import Round
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.session import open_store

COVERAGE = 0.95
POOLS = {"random": 8, "alike": 8, "alike, small": 4}


@dataclass(frozen=True)
class Trial:
    """Scores (n,) of a newcomer and (n, experts) of a pool on the train questions, and the subject of each (n,)."""

    newcomer: Floats
    pool: Floats
    subjects: NDArray[np.intp]

    def winners(self) -> NDArray[np.intp]:
        """The column of the best expert of the pool on each subject, among those with scores on 95 % of it."""
        best = []
        for code in range(self.subjects.max() + 1):
            of = self.pool[self.subjects == code]
            is_eligible = np.isnan(of).mean(axis=0) <= 1 - COVERAGE
            best.append(int(np.argmax(np.where(is_eligible, np.nanmean(of, axis=0), -1.0))))
        return np.array(best, dtype=np.intp)


Stopping = Callable[[Trial, int], tuple[int, NDArray[np.bool_]]]
"""A trial and the seed of its order -> the number of questions asked, and whether the newcomer wins each subject."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--confidence", type=float, default=0.999)
    parser.add_argument("--worthwhile", type=float, default=0.01)
    options = parser.parse_args()
    train, train_subjects, test, test_subjects = _read(options.store)
    settings = [(options.confidence, options.worthwhile), (options.confidence, 0.0), (0.99, options.worthwhile)]
    rules: dict[str, Stopping] = {
        f"confidence {confidence:g}, worthwhile {worthwhile:g}": partial(replay, Rule(confidence, worthwhile))
        for confidence, worthwhile in settings
    }
    rules["z = 3 at each look"] = partial(by_z, options.worthwhile)
    rows = []
    for pool, size in POOLS.items():
        for name, rule in rules.items():
            rows.append(
                [
                    pool,
                    str(size),
                    name,
                    *_measured(train, train_subjects, test, test_subjects, pool, size, rule, options.orders),
                ]
            )
            print(" | ".join(rows[-1]), flush=True)
    markdown(
        ["pool", "experts", "rule", "asked, mean", "asked, median", "labels unlike", "test accuracy, points", "worst"],
        rows,
    )


def _read(folder: Path) -> tuple[Floats, NDArray[np.intp], Floats, NDArray[np.intp]]:
    store = open_store(f"sqlite:///{folder.resolve()}/benchcoe.db")
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        ids = experts.expert_ids(connection)
        train, test = (read_matrix(connection, benchmark_id, ids, split) for split in ("train", "test"))
    store.close()
    return train.values, train.subject_codes(), test.values, test.subject_codes()


def _measured(
    train: Floats,
    subjects: NDArray[np.intp],
    test: Floats,
    test_subjects: NDArray[np.intp],
    pool: str,
    size: int,
    rule: Stopping,
    orders: int,
) -> list[str]:
    """The figures of a row, over every expert as the newcomer and several orders."""
    shares, unlike, changes = [], [], []
    for newcomer in range(train.shape[1]):
        known = ~np.isnan(train[:, newcomer])
        for seed in range(orders):
            members = _members(train, newcomer, pool, size, seed)
            trial = Trial(train[known, newcomer], train[known][:, members], subjects[known])
            n_scored, wins = rule(trial, seed)
            truly = wins_of_all(trial)
            shares.append(n_scored / known.sum())
            unlike.append(wins != truly)
            winners = np.array(members)[trial.winners()]
            changes.append(
                _accuracy(test, test_subjects, np.where(wins, newcomer, winners))
                - _accuracy(test, test_subjects, np.where(truly, newcomer, winners))
            )
    n_labels = sum(map(len, unlike))
    return [
        f"{100 * np.mean(shares):.1f} %",
        f"{100 * np.median(shares):.1f} %",
        f"{np.sum(unlike)} of {n_labels} ({100 * np.sum(unlike) / n_labels:.2f} %)",
        f"{np.mean(changes):+.3f}",
        f"{min(changes):+.2f}",
    ]


def _members(train: Floats, newcomer: int, pool: str, size: int, seed: int) -> list[int]:
    others = [column for column in range(train.shape[1]) if column != newcomer]
    if pool == "random":
        return list(np.random.default_rng([seed, newcomer]).choice(others, size, replace=False))
    means = np.nanmean(train, axis=0)
    return sorted(others, key=lambda column: abs(means[column] - means[newcomer]))[:size]


def _accuracy(test: Floats, subjects: NDArray[np.intp], expert_of: NDArray[np.intp]) -> float:
    """Test accuracy in percent if each subject goes to an expert, where that expert has a score."""
    return 100 * float(np.nanmean(test[np.arange(len(test)), expert_of[subjects]]))


def wins_of_all(trial: Trial) -> NDArray[np.bool_]:
    """Whether the newcomer wins each subject by all of its scores."""
    winners = trial.winners()
    return np.array(
        [
            trial.newcomer[trial.subjects == code].mean() > np.nanmean(trial.pool[trial.subjects == code, winner])
            for code, winner in enumerate(winners)
        ]
    )


def replay(rule: Rule, trial: Trial, seed: int) -> tuple[int, NDArray[np.bool_]]:
    """Reveal scores round by round. Returns their number, and whether the newcomer wins each subject."""
    rng = np.random.default_rng(seed)
    winners = trial.winners()
    features = Features.of(trial.pool, trial.pool[np.arange(len(trial.pool)), winners[trial.subjects]], trial.subjects)
    scores = np.full(len(trial.newcomer), np.nan)
    rows = [np.flatnonzero(trial.subjects == code) for code in range(len(winners))]
    rivals = [
        Rival(mean, mean) for mean in (np.nanmean(trial.pool[of, w]) for of, w in zip(rows, winners, strict=True))
    ]
    rounds: list[list[Round]] = [[] for _ in rows]
    wins: dict[int, bool] = {}
    while len(wins) < len(rows):
        predicted = features.predict(scores)
        for code, of in enumerate(rows):
            if code in wins:
                continue
            rest = of[np.isnan(scores[of])]
            drawn = next_round(rest, len(of) - len(rest), rng)
            guess, known = predicted[rest], float(np.nansum(scores[of]))
            scores[drawn] = trial.newcomer[drawn]
            rounds[code].append(
                Round(scores[drawn], predicted[drawn], len(rest), guess.sum(), guess.min(), guess.max(), known, 0)
            )
            if len(drawn) == len(rest):
                wins[code] = bool(scores[of].mean() > rivals[code].high)
                continue
            none = np.zeros(len(of), dtype=bool)
            estimate = settled(rounds[code], scores[of], none, predicted[of], [rivals[code]], rule)
            if estimate is not None:
                wins[code] = estimate.mean > rivals[code].high
    return int((~np.isnan(scores)).sum()), np.array([wins[code] for code in range(len(rows))])


def by_z(worthwhile: float, trial: Trial, seed: int) -> tuple[int, NDArray[np.bool_]]:
    """The rule without a correction: batches of 20, at least 40 a subject, stop at 3 standard errors."""
    rng = np.random.default_rng(seed)
    n_scored, wins = 0, []
    for code, winner in enumerate(trial.winners()):
        order = rng.permutation(np.flatnonzero(trial.subjects == code))
        pool = trial.pool[order]
        means = np.nanmean(pool, axis=1)
        best = np.where(np.isnan(pool[:, winner]), means, pool[:, winner])
        difference = trial.newcomer[order] - best
        columns = np.column_stack([np.ones(len(order)), means, best, means * best])
        n = min(40, len(order))
        while n < len(order):
            gram = columns[:n].T @ columns[:n] + 1e-3 * np.eye(4)
            weights = np.linalg.solve(gram, columns[:n].T @ difference[:n])
            residuals = difference[:n] - columns[:n] @ weights
            mean = float((columns @ weights).mean() + residuals.mean())
            error = 3 * float(np.sqrt(residuals.var() / n * (1 - n / len(order))))
            if mean - error > 0 or mean + error < worthwhile:
                break
            n = min(n + 20, len(order))
        else:
            mean = float(difference.mean())
        wins.append(mean > 0 if n == len(order) else mean - error > 0)
        n_scored += n
    return n_scored, np.array(wins)


if __name__ == "__main__":
    main()
