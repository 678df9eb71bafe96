"""The full report, worked out by hand from a few outcomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import routing_world

from benchcoe_jobs.services.evaluation.decisions import Decision
from benchcoe_jobs.services.evaluation.report import Outcomes, Report, compare, gather
from benchcoe_jobs.services.gaps import Gap

SUBJECTS = ("apples", "apples", "bricks", "bricks")
DECIDED = routing_world.decided_by_hand(("ann", "ann", "bob", "ann"), SUBJECTS)
# Query id, expert id, score, recorded cost: bob has no score on query 4.
ROWS = [(1, 1, 1.0, None), (2, 1, 0.0, 3.0), (3, 1, 1.0, None), (4, 1, 1.0, None)]
ROWS += [(1, 2, 0.0, None), (2, 2, 1.0, None), (3, 2, 1.0, 7.0), (99, 1, 1.0, None)]


def gathered(price_of_bob: float | None = 5.0) -> Outcomes:
    return gather(ROWS, {1: "ann", 2: "bob"}, {"ann": 1.0, "bob": price_of_bob}, DECIDED.questions)


def test_outcomes_are_the_fully_scored_queries_with_recorded_costs_first() -> None:
    outcomes = gathered()
    assert outcomes.positions.tolist() == [0, 1, 2]
    assert outcomes.scores.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert outcomes.costs.tolist() == [[1, 5], [3, 5], [1, 7]]
    assert np.isnan(gathered(None).costs).tolist() == [[False, True], [False, True], [False, False]]


def test_a_report_by_hand() -> None:
    report = compare(DECIDED, 1, gathered())
    assert (report.n, report.without_scores, report.seen_in_training) == (3, 1, 1)
    assert report.accuracy == pytest.approx(2 / 3), "ann right, ann wrong, bob right"
    assert report.best_single == {"expert": "ann", "accuracy": pytest.approx(2 / 3)}
    assert report.gain["value"] == 0
    assert report.random == pytest.approx(4 / 6)
    assert report.subject_oracle == pytest.approx(2 / 3)
    assert report.oracle == 1.0
    assert report.calls == {"ann": pytest.approx(2 / 3), "bob": pytest.approx(1 / 3)}
    assert report.cost == {
        "router": pytest.approx((1 + 3 + 7) / 3),
        "best_single": pytest.approx(5 / 3),
        "every_expert": pytest.approx(22 / 3),
    }
    assert report.warnings == [
        "the content of 1 of 4 queries is that of a training query",
        "1 of 4 queries left out, because an expert has no score there: bob on 1 (bricks 1). "
        "To compare on all of them, leave it out: benchcoe-jobs retire bob",
    ]
    assert report.gaps == [Gap("bob", 1, {"bricks": 1})]
    unpriced = compare(DECIDED, 0, gathered(None))
    assert unpriced.cost is None
    assert unpriced.warnings[-1] == (
        "costs are not compared: those of 2 of 3 answers of bob are unknown. "
        "Set the cost of a query with `benchcoe-jobs add-expert`, option --cost"
    )


def test_the_share_that_fell_back_is_over_the_compared_queries() -> None:
    decisions = [Decision("ann", True), Decision("ann", False), Decision("bob", False), Decision("ann", True)]
    assert compare(replace(DECIDED, decisions=decisions), 0, gathered()).fell_back == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("benchmark", "split", "distribution", "in_sample"),
    [
        ("toy", "train", "naive", True),
        ("toy", "test", "in distribution", False),
        ("other", "train", "out of distribution", False),
    ],
)
def test_distributions(benchmark: str, split: str, distribution: str, in_sample: bool) -> None:
    request = DECIDED.request | {"benchmark": benchmark, "split": split}
    report = compare(replace(DECIDED, request=request), 0, gathered())
    assert (report.distribution, report.in_sample) == (distribution, in_sample)
    assert report.warnings[0].startswith("in-sample: ") == in_sample


def test_the_split_that_chose_the_epoch_is_named() -> None:
    snapshot = DECIDED.snapshot
    fine_tuned = replace(snapshot, router=replace(snapshot.router, kind="bert"))
    request = DECIDED.request | {"split": "validation"}
    said = compare(replace(DECIDED, snapshot=fine_tuned, request=request), 0, gathered()).warnings
    assert said[0] == "the router kept the epoch that was best on these queries: the accuracy is slightly too high"
    assert len(compare(replace(DECIDED, request=request), 0, gathered()).warnings) == 1, "tfidf has no epochs"


def test_labels_from_reported_scores_are_named() -> None:
    labels = DECIDED.snapshot.labels
    reported = labels | {"bricks": replace(labels["bricks"], source="reported", n=None)}
    snapshot = replace(DECIDED.snapshot, labels=reported)
    assert compare(replace(DECIDED, snapshot=snapshot), 0, gathered()).warnings[-1] == (
        "the labels of bricks come from reported scores, whose queries may be among these"
    )


def test_json_there_and_back() -> None:
    report = compare(DECIDED, 0, gathered())
    content = report.as_json()
    assert {"distribution", "calls", "costs"} <= content.keys()
    assert "stage" not in content
    assert Report.from_json(content) == report
    assert Report.from_json({k: v for k, v in content.items() if k != "gaps"}) == replace(report, gaps=[])
