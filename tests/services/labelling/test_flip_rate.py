"""Flip rates, compared with plain resampling of one query at a time."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from math import sqrt

import pytest

from benchcoe_jobs.services.intervals import RESAMPLES
from benchcoe_jobs.services.labelling.flip_rate import flip_rate, within_reach
from benchcoe_jobs.store.labels.live_labels import Contender

Scores = dict[str, list[float | None]]
"""Expert -> one score per query, None if it has none."""

PLAIN_RESAMPLES = 4000


def ranked(scores: Scores, costs: dict[str, float] | None = None) -> list[Contender]:
    """The contenders of one subject, best first, by the rule of labels."""
    found = []
    for number, (name, values) in enumerate(scores.items()):
        known = [value for value in values if value is not None]
        found.append(Contender(1, 10 - number, name, sum(known) / len(known), len(known), (costs or {}).get(name)))
    return sorted(found, key=lambda c: (-mean_of(scores[c.expert]), c.cost is None, c.cost, c.expert))


def mean_of(values: list[float | None]) -> Fraction:
    known = [Fraction(value).limit_denominator(1000) for value in values if value is not None]
    return Fraction(sum(known), len(known)) if known else Fraction(0)


def patterns(scores: Scores, contenders: list[Contender]) -> list[tuple[float | None, ...]]:
    """Distinct score vectors with their frequencies, as the store counts them."""
    counted = Counter(zip(*(scores[c.expert] for c in contenders), strict=True))
    found = [(*vector, count) for vector, count in counted.items()]
    random.Random(1).shuffle(found)  # a database returns them in any order
    return found


def plain_flip_rate(scores: Scores, contenders: list[Contender]) -> float:
    """Draw the queries of each resample one by one, and rank by exact means."""
    luck = random.Random(2)
    n = len(next(iter(scores.values())))
    exact = {c.expert: [None if v is None else round(v * 1000) for v in scores[c.expert]] for c in contenders}
    flips = 0
    for _ in range(PLAIN_RESAMPLES):
        drawn = [luck.randrange(n) for _ in range(n)]
        means = {}
        for name, values in exact.items():
            known = [value for query in drawn if (value := values[query]) is not None]
            means[name] = Fraction(sum(known), max(len(known), 1))
        winner = min(contenders, key=lambda c: (-means[c.expert], c.cost is None, c.cost, c.expert))
        flips += winner is not contenders[0]
    return flips / PLAIN_RESAMPLES


def tolerance(rate: float) -> float:
    """Four standard errors of the difference of two Monte-Carlo rates."""
    return 4 * sqrt(max(rate * (1 - rate), 0.001) * (1 / RESAMPLES + 1 / PLAIN_RESAMPLES))


def drawn(seed: int, n: int, **skills: float) -> Scores:
    luck = random.Random(seed)
    return {name: [float(luck.random() < skill) for _ in range(n)] for name, skill in skills.items()}


def graded(seed: int, n: int, **skills: float) -> Scores:
    """Scores with as many patterns as queries, which are resampled in another way."""
    luck = random.Random(seed)
    return {name: [round(luck.betavariate(4 * s, 4 - 4 * s), 3) for _ in range(n)] for name, s in skills.items()}


def with_gaps(scores: Scores) -> Scores:
    """Scores without a few queries, different ones for each expert."""
    return {
        name: [None if query % 20 == number else value for query, value in enumerate(values)]
        for number, (name, values) in enumerate(scores.items())
    }


@pytest.mark.parametrize(
    "scores",
    [
        drawn(1, 100, ann=0.6, bob=0.55, cat=0.5),
        drawn(2, 40, ann=0.5, bob=0.5, cat=0.5),
        graded(3, 50, ann=0.6, bob=0.58),
        with_gaps(drawn(4, 100, ann=0.7, bob=0.65, cat=0.65)),
        with_gaps(graded(5, 40, ann=0.6, bob=0.55)),
    ],
    ids=["right or wrong", "few queries", "graded", "gaps", "graded with gaps"],
)
def test_flip_rate_is_that_of_plain_resampling(scores: Scores) -> None:
    contenders = ranked(scores)
    expected = plain_flip_rate(scores, contenders)
    assert 0.02 < expected < 0.9, "otherwise there is nothing to compare"
    assert flip_rate(patterns(scores, contenders), contenders) == pytest.approx(expected, abs=tolerance(expected))


def test_a_clear_winner_never_flips() -> None:
    scores = drawn(1, 300, ann=0.9, bob=0.3)
    assert flip_rate(patterns(scores, ranked(scores)), ranked(scores)) == 0.0


def test_two_equally_good_experts_flip_half_of_the_time() -> None:
    half = [1.0, 0.0] * 200
    scores: Scores = {"ann": list(half), "bob": half[::-1]}  # never right on the same query
    assert flip_rate(patterns(scores, ranked(scores)), ranked(scores)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("costs", "best"),
    [({"ann": 2.0, "bob": 1.0}, "bob"), ({"bob": 9.0}, "bob"), ({}, "ann")],
    ids=["the cheaper", "the one with a price", "the name"],
)
def test_a_tie_is_decided_by_the_rule_of_labels(costs: dict[str, float], best: str) -> None:
    answers: list[float | None] = [0.1, 0.7, 0.3] * 20
    scores: Scores = {"ann": answers, "bob": list(answers)}
    contenders = ranked(scores, costs)
    assert contenders[0].expert == best
    assert flip_rate(patterns(scores, contenders), contenders) == 0.0


def test_experts_out_of_reach_never_win_a_resample() -> None:
    skills = {"ann": 0.7, "bob": 0.68, "cat": 0.6, "dan": 0.45, "eve": 0.3, "fay": 0.0}
    scores = drawn(6, 150, **skills)
    all_ranked = ranked(scores)
    close = within_reach(all_ranked)
    assert 1 < len(close) < len(all_ranked)
    assert close == all_ranked[: len(close)]
    expected = flip_rate(patterns(scores, all_ranked), all_ranked)
    assert flip_rate(patterns(scores, close), close) == pytest.approx(expected, abs=tolerance(expected))


def test_one_contender_never_flips() -> None:
    assert flip_rate([], ranked({"ann": [1.0]})) == 0.0
