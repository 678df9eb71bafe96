"""A quote is from an expert's own answers, else from those of alike experts, else unknown."""

from __future__ import annotations

import pytest
from label_worlds import World, fill

from benchcoe_jobs.services.quote.interval import Interval
from benchcoe_jobs.services.quote.quote import Part, Quote, quote_part
from benchcoe_jobs.store.results import catalog, experts, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store

BENCH = (1, "bench")


@pytest.fixture
def world(store: Store) -> Store:
    """Experts a, b and c with a price each; thirty queries, all answered by a and b: 10 and 20 tokens, 4 seconds."""
    queries = {f"q{number}": ("maths", "train") for number in range(30)}
    fill(store, World(queries=queries, costs={}, pools={"all": (set(), 0.95)}, batches=[]))
    with store.writing() as connection:
        stored = catalog.stored_queries(connection, 1)
        for name, tokens in (("a", 10), ("b", 20), ("c", 0)):
            experts.add_expert(connection, ExpertRow(name, "openai", "m", price_in=1e6, price_out=2e6))
            if tokens:
                expert_id = experts.find_expert(connection, name)
                run_id = responses.ensure_run(connection, expert_id, 1, {"run": name})
                answers = [
                    NewScore(
                        q.id, q.stratum_id, 1.0, text="x", prompt_tokens=2, completion_tokens=tokens, latency_s=4.0
                    )
                    for q in stored.values()
                ]
                responses.write_scores(connection, expert_id, run_id, answers)
    return store


def part(store: Store, name: str, n: int) -> Part:
    with store.reading() as connection:
        return quote_part(connection, experts.find_expert(connection, name), BENCH, n, micro_batch=4)


def test_own_answers_come_first(world: Store) -> None:
    found = part(world, "a", 100)
    assert found.source == "its own 30 answers on bench"
    assert found.completion_tokens == Interval(1000, 1000, 1000)
    assert found.cost == Interval(2200, 2200, 2200)
    assert found.seconds == Interval(100, 100, 100), "a second for each of the four answers of a micro-batch"


def test_a_new_expert_is_quoted_by_the_others(world: Store) -> None:
    found = part(world, "c", 100)
    assert found.source == "2 other experts on bench"
    assert found.prompt_tokens == Interval(200, pytest.approx(200), pytest.approx(200))
    assert found.completion_tokens is not None
    assert found.completion_tokens.value == pytest.approx(100 * 200**0.5)
    assert found.completion_tokens.low < 1000 < 2000 < found.completion_tokens.high
    assert found.cost is not None
    assert found.cost.value == pytest.approx(200 + 2 * 100 * 200**0.5)


def test_nothing_to_ask_and_nothing_known(world: Store) -> None:
    assert part(world, "c", 0).cost == Interval(0, 0, 0)
    with world.reading() as connection:
        unknown = quote_part(connection, experts.find_expert(connection, "c"), None, 10, micro_batch=4)
        known = quote_part(connection, experts.find_expert(connection, "a"), None, 10, micro_batch=4)
    assert (unknown.is_known, unknown.source) == (False, "nothing is known")
    assert Quote([known, unknown]).total("cost") is None
    assert Quote([known, part(world, "c", 0)]).total("cost") == known.cost
    assert Quote([known, known]).as_json()["queries"] == 20
