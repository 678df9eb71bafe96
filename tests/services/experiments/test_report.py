"""Outcomes are summarised by protocol, pool and router, over folds and seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchcoe_jobs.services.experiments.plan import Protocol, RouterSpec
from benchcoe_jobs.services.experiments.report import COLUMNS, cells_of, gap_notes, markdown, summarise
from benchcoe_jobs.services.experiments.trials import Outcome, Trial


def outcome(protocol: Protocol, seed: int, accuracy: float, **gains: float) -> Outcome:
    report = {
        "n": len(gains),
        "accuracy": accuracy,
        "best_single": {"expert": "ann", "accuracy": 0.5},
        "subject_oracle": 0.75,
        "oracle": 1.0,
    }
    return Outcome(Trial(protocol, "", seed, "two", RouterSpec("r")), report, gains)


OUTCOMES = [
    outcome(Protocol.IN_DISTRIBUTION, 0, 0.75, a=1.0, b=0.0, c=0.0),
    outcome(Protocol.IN_DISTRIBUTION, 1, 0.25, a=-1.0),
    outcome(Protocol.NAIVE, 0, 1.0, a=1.0, b=1.0),
]


def test_by_hand() -> None:
    naive, row = summarise(OUTCOMES)
    assert (naive.protocol, naive.in_sample, naive.gain, naive.low, naive.high) == ("naive", True, 1, 1, 1)
    assert (row.protocol, row.pool, row.router, row.in_sample) == ("in-distribution", "two", "r", False)
    assert (row.trials, row.n, row.n_queries) == (2, 4, 3)
    assert row.accuracy == pytest.approx((3 * 0.75 + 0.25) / 4)
    assert row.gain == pytest.approx(0.0)
    assert (row.seeds_low, row.seeds_high) == (-1.0, pytest.approx(1 / 3))
    assert row.low <= row.gain <= row.high


def test_rows_follow_the_order_of_the_protocols() -> None:
    assert [row.protocol for row in summarise(OUTCOMES)] == ["naive", "in-distribution"]
    assert summarise([]) == []


def test_the_table_in_percent_and_points() -> None:
    naive, row = summarise(OUTCOMES)
    assert cells_of(naive) == [
        "naive (IN-SAMPLE)",
        "two",
        "r",
        "2",
        "50.0",
        "100.0",
        "+100.0 [+100.0, +100.0]",
        "+100.0 to +100.0",
        "75.0",
        "100.0",
    ]
    lines = markdown([naive, row]).splitlines()
    assert len(lines) == 4
    assert lines[0] == "| " + " | ".join(COLUMNS) + " |"
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}


def test_queries_that_trials_leave_out_are_named_once_for_a_pool() -> None:
    def with_gap(n: int) -> Outcome:
        found = outcome(Protocol.NAIVE, 0, 1.0, a=1.0)
        gap = {"expert": "bob", "n": n, "subjects": {"law": n}}
        return replace(found, report=found.report | {"without_scores": n, "gaps": [gap] if n else []})

    assert gap_notes([with_gap(1), with_gap(3), with_gap(0), *OUTCOMES]) == [
        "pool two: in a trial, 3 of 4 queries left out, because an expert has no score there: bob on 3 (law 3). "
        "To compare on all of them, leave bob out of this pool in the file"
    ]
    assert gap_notes(OUTCOMES) == [], "trials of a release before 0.3.0 have stored no gaps"
