"""Estimates of policies on served traffic: their means on simulated traffic, and when none is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import routing_world
import served_rows
from console import Cli, run
from routing_world import snapshot_by_hand

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.policy_estimate import (
    OfflineScores,
    PolicyEstimate,
    estimate_policies,
    estimate_policy,
)
from benchcoe_jobs.store.routing import served
from benchcoe_jobs.store.routing.served import ScoredDecision
from benchcoe_jobs.store.session import Store

TRUE = {("apples", "ann"): 0.9, ("apples", "bob"): 0.2, ("bricks", "ann"): 0.6, ("bricks", "bob"): 0.7}


def traffic(n: int, share: float, seed: int = 0) -> list[ScoredDecision]:
    """Decisions of a router that chooses ann for apples and bob for bricks, with their scores by chance."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        subject, chosen, other = [("apples", "ann", "bob"), ("bricks", "bob", "ann")][number % 2]
        explores = rng.random() < share
        expert, propensity = (other, share) if explores else (chosen, 1 - share)
        score = float(rng.random() < TRUE[subject, expert])
        found.append(ScoredDecision(None, subject, chosen, expert, propensity, score))
    return found


def estimates(decisions: list[ScoredDecision], choices: list[str], **offline: object) -> PolicyEstimate:
    return estimate_policy("p", decisions, choices, OfflineScores(snapshot_by_hand(**offline)))


@pytest.mark.parametrize("wrong", [False, True], ids=["right model", "wrong model"])
@pytest.mark.parametrize(("expert", "true"), [("ann", 0.75), ("bob", 0.45)])
def test_each_estimate_is_near_the_true_mean(expert: str, true: float, wrong: bool) -> None:
    means = {s: {e: TRUE[s, e] for e in ("ann", "bob")} for s in ("apples", "bricks")}
    if wrong:
        means = {"apples": {"ann": 0.1, "bob": 0.9}, "bricks": {"ann": 0.1, "bob": 0.1}}
    decisions = traffic(2_000, 0.3)
    found = estimates(decisions, [expert] * len(decisions), means=means)
    for one in (found.ips, found.self_normalised, found.doubly_robust):
        assert one is not None
        assert one.mean == pytest.approx(true, abs=0.06)
        assert one.low < true < one.high


def test_the_model_of_outcomes_narrows_the_interval() -> None:
    decisions = traffic(1_000, 0.2)
    means = {s: {e: TRUE[s, e] for e in ("ann", "bob")} for s in ("apples", "bricks")}
    found = estimates(decisions, ["ann"] * len(decisions), means=means)
    assert found.ips is not None
    assert found.doubly_robust is not None
    assert found.doubly_robust.high - found.doubly_robust.low < 0.9 * (found.ips.high - found.ips.low)


def test_the_effective_sample_size_decides() -> None:
    decisions = traffic(1_000, 0.05)
    chosen = estimates(decisions, [one.chosen for one in decisions])
    other = estimates(decisions, ["bob" if one.chosen == "ann" else "ann" for one in decisions])
    assert chosen.effective == pytest.approx(chosen.agreeing) == pytest.approx(950, abs=30)
    assert chosen.ips is not None
    assert other.effective == other.agreeing < 100
    assert other.ips is other.self_normalised is other.doubly_robust is None


@pytest.fixture
def served_traffic(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


def serve(store: Store, decisions: list[ScoredDecision], prompt: str | None = None) -> None:
    with store.writing() as connection:
        base = served_rows.decision(connection, "")
        ids = {"ann": 1, "bob": 2}
        rows = [
            type(base)(**{**{name: getattr(base, name) for name in base.__slots__}, **changes})
            for changes in (
                {
                    "id": f"d{number:04}",
                    "prompt": prompt,
                    "subject": one.subject,
                    "chosen_id": ids[one.chosen],
                    "expert_id": ids[one.expert],
                    "propensity": one.propensity,
                }
                for number, one in enumerate(decisions)
            )
        ]
        served.store_served(connection, rows, [])
        for row, one in zip(rows, decisions, strict=True):
            served.store_score(connection, row.id, one.score, None)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_the_traffic_of_a_store(served_traffic: Store, tmp_path: Path) -> None:
    unexplored = [ScoredDecision(None, "apples", "ann", "ann", 1.0, 0.0)] * 50
    serve(served_traffic, [*traffic(400, 0.5), *unexplored], routing_world.APPLES.text)
    report = estimate_policies(served_traffic, tmp_path, None, ["r"])
    assert (report.router, report.decisions, report.scored, report.explored) == ("r", 450, 450, 400)
    assert [one.policy for one in report.policies] == ["router r", "always ann", "always bob", "router r"]
    assert report.policies[3].agreeing == report.policies[1].agreeing, "the stored text is about apples: always ann"
    best = report.policies[0].doubly_robust
    assert best is not None
    assert best.mean == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_when_nothing_is_estimated(served_traffic: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(served_traffic, traffic(99, 0.5))
    with pytest.raises(UsageError, match=r"has 99 explored decisions with a score, and at least 100 are needed"):
        estimate_policies(served_traffic, tmp_path, "r")
    with served_traffic.writing() as connection:
        served.store_served(connection, [served_rows.decision(connection, "e", propensity=0.5)], [])
        served.store_score(connection, "e", 1.0, None)
    cli: Cli = lambda line: run(line, capsys)  # noqa: E731
    url = served_traffic.engine.url.render_as_string(hide_password=False)
    shown = cli(f"policy-estimate r --database-url {url} --home {tmp_path}")
    assert "always bob" in shown.out
    assert "100 of these explored" in shown.out
