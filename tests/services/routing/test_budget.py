"""Cost in a decision and in a report, small enough to be done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables import bring

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import decider
from benchcoe_jobs.services.routing.snapshot import take_snapshot
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

COSTS = {"small": 1.0, "large": 10.0}
APPLES, BRICKS = RouterInput("how many apples in case 900"), RouterInput("how many bricks in case 900")


def test_worth_by_hand() -> None:
    scores = np.array([[0.5, 0.9], [0.6, 0.61]])
    names = ["small", "large"]
    assert Budget().worth(scores, names, {}) is scores
    assert Budget(quality_weight=0.5).worth(scores, names, COSTS) == pytest.approx(
        np.array([[0.20, -0.05], [0.25, -0.195]])
    )
    capped = Budget(max_cost=5).worth(scores, names, COSTS)
    assert capped.argmax(axis=1).tolist() == [0, 0]
    with pytest.raises(UsageError, match=r"at most 0\.5 a query: the cheapest is small with 1"):
        Budget(max_cost=0.5).worth(scores, names, COSTS)
    with pytest.raises(UsageError, match="the cost of large is not known"):
        Budget(quality_weight=0.5).worth(scores, names, {"small": 1.0, "large": None})


@pytest.fixture
def priced(store: Store, tmp_path: Path) -> Store:
    """`small` costs 1 a query; `large` is paid by the token, 10 a query, and is the better one at bricks."""
    with store.writing() as connection:
        experts.add_expert(connection, experts.ExpertRow("small", "recorded", cost=1.0))
        experts.add_expert(connection, experts.ExpertRow("large", "recorded", price_out=10.0))
    for split, cases in (("train", range(20)), ("test", range(100, 110))):
        for name in COSTS:
            rows = [
                {
                    "key": f"{split}-{subject}-{n}",
                    "text": f"how many {subject} in case {n}",
                    "subject": subject,
                    "split": split,
                    "score": float(name == "large" if subject == "bricks" else n % 2),
                    **({"tokens": 1_000_000} if name == "large" else {}),
                }
                for subject in ("apples", "bricks")
                for n in cases
            ]
            bring(store, tmp_path, name, *rows)
    train_router(
        store, tmp_path, "r", level=Level.SUBJECT, kind="tfidf", head=None, pool="all", benchmark=None, split="train"
    )
    return store


def test_money_goes_where_it_buys_something(priced: Store, tmp_path: Path) -> None:
    with priced.reading() as connection:
        snapshot = take_snapshot(connection, "r")
    assert snapshot.costs == COSTS
    chooser = decider(priced, tmp_path, snapshot)
    chosen = [choice.expert for choice in chooser.choose([APPLES, BRICKS], Budget(quality_weight=0.6))]
    assert chosen == ["small", "large"]
    assert [c.expert for c in chooser.choose([APPLES, BRICKS], Budget(quality_weight=0.1))] == ["small", "small"]
    capped = chooser.choose([BRICKS], Budget(max_cost=2))[0]
    assert (capped.expert, capped.why) == ("small", "0.0 % on bricks, where large has 100.0 %; expected cost 1")


def test_the_report_has_the_three_baselines_and_the_routers_own_cost(priced: Store, tmp_path: Path) -> None:
    budget = Budget(quality_weight=0.6)
    report = evaluate(priced, tmp_path, "r", benchmark=None, split="test", budget=budget).costs
    assert report is not None
    assert (report.router.cost, report.router.accuracy) == (pytest.approx(5.5), pytest.approx(0.75))
    assert (report.cheapest.name, report.cheapest.cost, report.cheapest.accuracy) == ("small", 1.0, 0.25)
    assert (report.best_single.name, report.best_single.cost, report.best_single.accuracy) == ("large", 10.0, 0.75)
    assert (report.mix.cost, report.mix.accuracy) == (pytest.approx(5.5), pytest.approx(0.5))
    assert report.gain_over_mix == pytest.approx(0.25)
    assert (report.curve[0].cost, report.curve[0].accuracy) == (1.0, 0.25)
    dear = evaluate(priced, tmp_path, "r", benchmark=None, split="test", budget=budget, second_price=1e6).costs
    assert dear is not None
    assert dear.router.cost == pytest.approx(5.5 + dear.router_seconds * 1e6)
