"""When a subject is settled, on which side of its rivals the estimate is, and what is asked next."""

from __future__ import annotations

import numpy as np
import pytest

from benchcoe_jobs.services.settling.rounds import Estimate, Rival, Rule, next_round, settled
from benchcoe_jobs.services.settling.sequential_test import Bounds, Round

RULE = Rule(confidence=0.99, worthwhile=0.0)
N = 200


def subject(n_scored: int, share: float, n_errors: int = 0) -> tuple[list[Round], np.ndarray, np.ndarray, np.ndarray]:
    """A subject of N questions of which some were asked in one round, a share of them answered right."""
    rng = np.random.default_rng(5)
    scores = np.full(N, np.nan)
    right = np.arange(n_scored) < round(share * n_scored)
    scores[:n_scored] = rng.permutation(right)
    predicted = np.full(N, 0.5)
    errors = np.zeros(N, dtype=bool)
    errors[n_scored : n_scored + n_errors] = True
    drawn = rng.permutation(np.concatenate([scores[:n_scored], np.full(n_errors, np.nan)]))
    return [Round(drawn, np.full(len(drawn), 0.5), N, N / 2, 0.5, 0.5, 0.0, 0)], scores, errors, predicted


def estimate(n_scored: int, share: float, *rivals: Rival, rule: Rule = RULE, n_errors: int = 0) -> Estimate | None:
    rounds, scores, errors, predicted = subject(n_scored, share, n_errors)
    return settled(rounds, scores, errors, predicted, rivals, rule)


def test_a_subject_is_settled_once_its_winner_is_certain() -> None:
    even = Rival(0.5, 0.5)
    assert estimate(60, 0.55, even) is None
    won, lost = estimate(60, 0.9, even), estimate(60, 0.1, even)
    assert won is not None
    assert lost is not None
    assert (won.n, lost.n) == (60, 60)
    assert 0.5 < won.low <= won.mean <= won.high <= 1
    assert 0 <= lost.low <= lost.mean <= lost.high < 0.5


def test_every_rival_counts() -> None:
    assert estimate(60, 0.9, Rival(0.5, 0.5), Rival(0.88, 0.88)) is None
    between = estimate(60, 0.5, Rival(0.1, 0.1), Rival(0.9, 0.9))
    assert between is not None
    assert 0.1 < between.mean < 0.9


def test_a_rival_that_is_estimated_is_somewhere_in_its_bounds() -> None:
    assert estimate(60, 0.9, Rival(0.5, 0.89)) is None
    assert estimate(60, 0.9, Rival(0.4, 0.5)) is not None


def test_a_win_that_is_not_worthwhile_is_a_loss_even_if_the_estimate_is_above() -> None:
    rival = Rival(0.5, 0.5)
    assert estimate(150, 0.52, rival) is None
    found = estimate(150, 0.52, rival, rule=Rule(0.99, 0.15))
    assert found is not None
    assert found.mean < 0.5 < found.high


def test_known_scores_settle_without_a_test() -> None:
    assert estimate(190, 0.9, Rival(0.5, 0.5), rule=Rule(1 - 1e-12, 0.0)) is not None


def test_questions_without_an_answer_may_be_right_or_wrong() -> None:
    rule = Rule(1 - 1e-12, 0.0)
    assert estimate(140, 1.0, Rival(0.69, 0.69), rule=rule, n_errors=60) is not None
    assert estimate(140, 1.0, Rival(0.75, 0.75), rule=rule, n_errors=60) is None


@pytest.mark.parametrize(("low", "high", "holds"), [(0.6, 0.7, True), (0.1, 0.505, True), (0.1, 0.52, False)])
def test_whether_earlier_bounds_settle_it(low: float, high: float, holds: bool) -> None:
    assert Rule(0.99, 0.01).holds(Bounds(low, high), [Rival(0.5, 0.5)]) is holds


def test_rounds_grow_and_the_last_one_asks_all() -> None:
    rest, n_scored, sizes, seen = np.arange(N), 0, [], set[int]()
    while len(rest):
        drawn = next_round(rest, n_scored, np.random.default_rng(n_scored))
        sizes.append(len(drawn))
        seen |= set(drawn.tolist())
        rest, n_scored = np.setdiff1d(rest, drawn), n_scored + len(drawn)
    assert sizes[:3] == [10, 4, 4]
    assert sizes[1:-1] == sorted(sizes[1:-1])
    assert sum(sizes) == len(seen) == N
    assert sizes[-1] > N // 10
