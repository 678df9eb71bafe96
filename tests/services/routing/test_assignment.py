"""Many questions under one budget: against every possible assignment, and against deciding one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.routing.assignment import assign

VALUES = st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.9, 1.0, -np.inf])
COSTS = st.sampled_from([0.0, 1.0, 2.0, 3.5, 7.0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Floats, list[float], float]:
    n, k = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    scores = np.array([[draw(VALUES) for _ in range(k)] for _ in range(n)])
    scores[np.isneginf(scores).all(axis=1), 0] = 0.1
    return scores, [draw(COSTS) for _ in range(k)], draw(st.floats(0, 30))


@given(worlds())
def test_the_assignment_keeps_the_budget_and_is_within_a_step_of_the_best(
    world: tuple[Floats, list[float], float],
) -> None:
    scores, costs, budget = world
    n, k = scores.shape
    every = [
        (float(scores[range(n), columns].sum()), float(np.take(costs, columns).sum()))
        for columns in itertools.product(range(k), repeat=n)
    ]
    feasible = [score for score, cost in every if cost <= budget and np.isfinite(score)]
    if not feasible:
        with pytest.raises(UsageError, match="too small"):
            assign(scores, costs, budget)
        return
    found = assign(scores, costs, budget)
    assert found.cost <= budget
    assert found.score == pytest.approx(float(scores[range(n), found.columns].sum()))
    assert found.score <= max(feasible) + 1e-9 <= found.bound + 2e-9
    assert found.bound - found.score <= 1.0 + 1e-9, "less than one step, and a step gains at most 1"
    affordable = np.where(np.asarray(costs) <= budget / n, scores, -np.inf).max(axis=1)
    if np.isfinite(affordable).all():
        assert found.score >= affordable.sum() - 1e-9


def test_the_budget_goes_where_it_buys_most() -> None:
    scores = np.array([[0.5, 0.6], [0.5, 0.9], [0.5, 0.7]])
    found = assign(scores, [1.0, 3.0], 5.0)
    assert (found.columns.tolist(), found.score, found.cost) == ([0, 1, 0], pytest.approx(1.9), 5.0)
    assert assign(scores, [1.0, 3.0], 9.0).columns.tolist() == [1, 1, 1]
    assert assign(scores, [1.0, 3.0], 6.0).bound == pytest.approx(2.0)


def test_a_budget_that_is_refused_is_accepted_with_the_cost_of_the_message() -> None:
    scores = np.full((3, 1), 0.5)
    assert assign(scores, [0.1], 0.3).score == pytest.approx(1.5), "three times 0.1 is above 0.3 in floating point"
    with pytest.raises(UsageError, match="too small") as refused:
        assign(scores, [12.345678], 37.0)
    assert assign(scores, [12.345678], float(str(refused.value).split()[-1])).cost == pytest.approx(37.037034)
