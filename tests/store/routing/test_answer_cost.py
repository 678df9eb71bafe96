"""The cost of an answer: the first that is known of a recorded cost, tokens, seconds, and the expert's cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tables
from routing_world import row
from sqlalchemy import update

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.results import experts, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.routing.answer_cost import answers_without_price, spent
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Response

TOKENS = {"prompt_tokens": 500_000, "completion_tokens": 2_000_000}


@pytest.mark.parametrize(
    ("prices", "response", "cost"),
    [
        ({}, {}, None),
        ({"cost": 3.0}, {}, 3.0),
        ({"cost": 3.0, "price_gpu_second": 2.0}, {"latency_s": 4.0}, 8.0),
        ({"cost": 3.0, "price_gpu_second": 2.0}, {}, 3.0),
        ({"price_gpu_second": 2.0, "price_in": 10.0}, TOKENS | {"latency_s": 4.0}, 5.0),
        ({"price_in": 10.0, "price_out": 1.0}, TOKENS, 7.0),
        ({"price_out": 1.0}, TOKENS, 2.0),
        ({"price_out": 1.0, "cost": 3.0}, {}, 3.0),
        ({"price_in": 10.0, "cost": 3.0}, TOKENS | {"cost": 0.0}, 0.0),
    ],
)
def test_the_first_cost_that_is_known(
    store: Store, tmp_path: Path, prices: dict[str, Any], response: dict[str, Any], cost: float | None
) -> None:
    with store.writing() as connection:
        experts.add_expert(connection, ExpertRow("ann", "recorded", **prices))
    tables.bring(store, tmp_path, "ann", row("apples", 1, 1.0) | {"cost": 99.0})  # so that a response is stored
    with store.writing() as connection:
        connection.execute(update(Response).values({"cost": None} | response))
        [(*_, found)] = evaluations.outcomes(connection, 1, "train", [experts.find_expert(connection, "ann")])
    assert found == (None if cost is None else pytest.approx(cost))


@pytest.mark.parametrize(
    ("prices", "response", "unknown"),
    [
        ({"price_in": 10.0}, TOKENS, 0),
        ({"price_in": 10.0}, {"completion_tokens": 5}, 1),
        ({"price_in": 10.0, "price_out": 1.0}, {"completion_tokens": 5}, 1),
        ({"price_in": 10.0, "cost": 3.0}, {}, 1),
        ({"price_gpu_second": 2.0}, {"latency_s": 4.0}, 0),
        ({"price_in": 10.0}, {"cost": 0.0}, 0),
    ],
)
def test_answers_to_which_prices_do_not_apply(
    store: Store, tmp_path: Path, prices: dict[str, Any], response: dict[str, Any], unknown: int
) -> None:
    with store.writing() as connection:
        experts.add_expert(connection, ExpertRow("ann", "recorded", **prices))
    tables.bring(store, tmp_path, "ann", row("apples", 1, 1.0) | {"tokens": 1})
    with store.writing() as connection:
        empty = dict.fromkeys(("completion_tokens", "prompt_tokens", "latency_s", "cost"))
        connection.execute(update(Response).values(**empty | response))
        assert answers_without_price(connection, experts.find_expert(connection, "ann")) == (unknown, 1)


def test_what_the_answers_of_a_run_have_cost(store: Store, tmp_path: Path) -> None:
    tables.add_experts(store, ann=2.0, bob=None)
    tables.bring(store, tmp_path, "ann", *(row("apples", n, 1.0) | {"tokens": 1} for n in range(3)))
    with store.writing() as connection:
        ann, bob = experts.find_expert(connection, "ann"), experts.find_expert(connection, "bob")
        after = responses.newest_id(connection)
        assert [spent(connection, ann, since) for since in (0, after - 1, after)] == [6.0, 2.0, 0.0]
    tables.bring(store, tmp_path, "bob", row("apples", 1, 1.0) | {"tokens": 1})
    with store.reading() as connection, pytest.raises(UsageError, match="the cost of 1 answers is not known"):
        spent(connection, bob, after)
