"""The report on chosen experts only, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import routing_world
import tables

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.chosen_only_report import ChosenOnlyReport, report_chosen_only
from benchcoe_jobs.services.evaluation.decisions import decide, evaluate_request
from benchcoe_jobs.store.job_queue.jobs import ShardGroupRow
from benchcoe_jobs.store.session import Store


def report(store: Store, home: Path, *groups: ShardGroupRow) -> ChosenOnlyReport:
    with store.writing() as connection:
        request = evaluate_request(connection, "r", None, "test")
    return report_chosen_only(store, decide(store, home, request), groups)


def group(**counts: Any) -> ShardGroupRow:
    zero = dict.fromkeys(ShardGroupRow.__dataclass_fields__, 0)
    names = {"queue": "gpu", "expert": "ann", "benchmark": "toy"}
    return ShardGroupRow(**{**zero, **names, **counts})  # type: ignore[arg-type]


@pytest.fixture
def answered(store: Store, tmp_path: Path) -> Store:
    """Ann is chosen for two apples and answered both; bob is chosen for two bricks and answered one."""
    routing_world.fill(store, tmp_path)
    tables.bring(store, tmp_path, "ann", *(routing_world.row("apples", n, n % 2, "test") for n in (100, 101)))
    tables.bring(store, tmp_path, "bob", routing_world.row("bricks", 100, 1.0, "test"))
    tables.bring(store, tmp_path, "ann", routing_world.row("bricks", 101, 1.0, "test"))
    return store


def test_a_report_by_hand(answered: Store, tmp_path: Path) -> None:
    found = report(
        answered, tmp_path, group(answered=3, errors=1, loads=1, seconds=1.0), group(answered=2, seconds=0.5)
    )
    assert (found.n, found.without_scores) == (3, 1), "ann's answer to a brick is not that of the chosen expert"
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.interval["low"] < found.accuracy < found.interval["high"]
    assert found.calls == {"ann": 0.5, "bob": 0.5}
    assert [(e.expert, e.n, e.accuracy) for e in found.experts] == [("ann", 2, 0.5), ("bob", 1, 1.0)]
    assert found.cost == {"router": pytest.approx((1 + 1 + 2) / 3), "every_expert": 3.0}
    assert found.inference == {"queries": 5, "errors": 1, "loads": 1, "seconds": 1.5}
    assert (found.distribution, found.in_sample, found.fell_back) == ("in distribution", False, 0.0)


def test_json_has_null_for_what_needs_all_experts(answered: Store, tmp_path: Path) -> None:
    content = report(answered, tmp_path).as_json()
    assert content["distribution"] == "in distribution"
    assert {name for name, value in content.items() if value is None} == {
        "best_single",
        "random",
        "subject_oracle",
        "oracle",
        "gain",
    }


def test_an_unknown_cost_leaves_the_costs_out(answered: Store, tmp_path: Path) -> None:
    with answered.writing() as connection:
        request = evaluate_request(connection, "r", None, "test")
        connection.exec_driver_sql("UPDATE expert SET cost = NULL WHERE name = 'bob'")
    assert report_chosen_only(answered, decide(answered, tmp_path, request), []).cost is None


def test_no_answer_of_a_chosen_expert(answered: Store, tmp_path: Path) -> None:
    with answered.writing() as connection:
        request = evaluate_request(connection, "r", None, "test")
    decided = decide(answered, tmp_path, request)
    others = {"ann": "bob", "bob": "ann"}
    swapped = [replace(d, expert=others[d.expert]) for d in decided.decisions]
    apples = [position for position, question in enumerate(decided.questions) if question.subject == "apples"]
    nothing = replace(
        decided,
        questions=[decided.questions[position] for position in apples],
        decisions=[swapped[position] for position in apples],
    )
    with pytest.raises(UsageError, match="no query of toy, split test, has an answer of its chosen expert"):
        report_chosen_only(answered, nothing, [])
