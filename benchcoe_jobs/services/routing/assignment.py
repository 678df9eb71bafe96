"""Assign many questions at once, so that the best expected score is bought with one budget for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError


@dataclass(frozen=True, slots=True)
class Assignment:
    """The expert of each question as a column (n,), with the expected score and cost of all of them.

    `bound` is the highest expected score that any assignment within the budget can have: that of the linear relaxation,
    in which one question may be divided between two experts.
    """

    columns: NDArray[np.intp]
    score: float
    cost: float
    bound: float


def assign(scores: Floats, costs: Sequence[float], budget: float) -> Assignment:
    """The columns with the highest expected score whose costs add up to at most the budget.

    `scores` (n, experts) are -inf for an expert that must not be chosen, `costs` (experts,) the cost of a question.
    Each question begins with its cheapest expert and goes up along the concave hull of its scores over costs; the steps
    of all questions are taken in the order of their score per cost. That is the exact solution of the relaxation, and
    the assignment falls short of it by less than one step. It is never worse than to give every question its best
    expert among those that cost at most an equal share of the budget. Raises UsageError if the budget is too small.
    """
    prices = np.asarray(costs, dtype=np.float64)
    columns, steps = _hulls(scores, prices)
    score, spent = _totals(scores, prices, columns)
    if exceeds(spent, budget):
        raise UsageError(
            f"a budget of {budget:.13g} is too small: with the cheapest expert for each of them, {len(scores)} lines "
            f"are expected to cost {spent:.13g}"
        )
    bound = _bound(steps, score, budget - spent)
    stopped: set[int] = set()
    for _, added, row, column in steps:
        if row not in stopped and spent + added <= budget:
            columns[row] = column
            spent += added
        else:  # a later step of another question may still fit
            stopped.add(row)
    alone = _one_by_one(scores, prices, budget / max(len(scores), 1))
    if alone is not None and _totals(scores, prices, alone)[0] > _totals(scores, prices, columns)[0]:
        columns = alone
    return Assignment(columns, *_totals(scores, prices, columns), bound)


def exceeds(cost: float, budget: float) -> bool:
    """Whether a cost is above a budget by more than the rounding of sums: three times 0.1 is within 0.3."""
    return cost > budget * (1 + 1e-12)


Step = tuple[float, float, int, int]
"""(score gained, cost added, row of the question, column of the expert)."""


def _hulls(scores: Floats, prices: Floats) -> tuple[NDArray[np.intp], list[Step]]:
    """The cheapest column of each question (n,), and the steps up the hulls of all, the best score per cost first."""
    order = np.argsort(prices, kind="stable").tolist()
    known: dict[bytes, list[int]] = {}  # at subject level many questions have the same scores
    first = np.empty(len(scores), dtype=np.intp)
    steps: list[Step] = []
    for row, of_row in enumerate(scores):
        hull = known.get(key := of_row.tobytes())
        if hull is None:
            hull = known[key] = _hull(of_row, prices, order)
        first[row] = hull[0]
        steps += [
            (float(of_row[to] - of_row[at]), float(prices[to] - prices[at]), row, to)
            for at, to in itertools.pairwise(hull)
        ]
    steps.sort(key=lambda step: (-step[0] / step[1], step[2]))
    return first, steps


def _hull(scores: Floats, prices: Floats, order: Sequence[int]) -> list[int]:
    """The columns on the upper concave hull of finite scores over prices, from the cheapest up to the best one."""
    hull: list[int] = []
    for column in order:
        if not np.isfinite(scores[column]) or (hull and scores[column] <= scores[hull[-1]]):
            continue
        if hull and prices[column] == prices[hull[-1]]:
            hull.pop()
        while len(hull) > 1 and _slope(scores, prices, hull[-2], hull[-1]) <= _slope(scores, prices, hull[-2], column):
            hull.pop()
        hull.append(column)
    return hull


def _slope(scores: Floats, prices: Floats, at: int, to: int) -> float:
    return float((scores[to] - scores[at]) / (prices[to] - prices[at]))


def _bound(steps: Sequence[Step], score: float, left: float) -> float:
    """The score of the relaxation: steps in order while there is budget left, the last one in part."""
    for gain, added, *_ in steps:
        part = min(1.0, left / added)
        score, left = score + part * gain, left - part * added
        if part < 1.0:
            break
    return score


def _totals(scores: Floats, prices: Floats, columns: NDArray[np.intp]) -> tuple[float, float]:
    return float(scores[np.arange(len(scores)), columns].sum()), float(prices[columns].sum())


def _one_by_one(scores: Floats, prices: Floats, share: float) -> NDArray[np.intp] | None:
    """Every question with its best expert among those that cost at most `share`; None if one has none."""
    allowed = np.where(prices <= share, scores, -np.inf)
    if len(scores) == 0 or np.isneginf(allowed).all(axis=1).any():
        return None
    best: NDArray[np.intp] = allowed.argmax(axis=1)
    return best
