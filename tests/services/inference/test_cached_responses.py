"""Responses that release 0.1.0 stored are still reused: prompts, decoding and provenance are the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchcoe_jobs.services.inference import plan
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.results import experts, responses
from benchcoe_jobs.store.session import Store, connect

DUMP = Path(__file__).parents[2] / "store" / "fixtures" / "store-0.1.0.sqlite.sql"


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Store]:
    """The store of release 0.1.0, upgraded."""
    with closing(sqlite3.connect(tmp_path / "released.db")) as file:
        file.executescript(DUMP.read_text(encoding="utf-8"))
    store = connect(f"sqlite:///{tmp_path / 'released.db'}")
    upgrade(store)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("name", "benchmark"), [("reckoner", "skills"), ("parrot", "skills"), ("parrot", "mmlu-pro"), ("parrot", "mmstar")]
)
def test_a_run_of_release_0_1_0_is_found_again(released: Store, name: str, benchmark: str) -> None:
    with released.writing() as connection:
        expert_id, expert = experts.read_expert(connection, name)
        [prompts] = plan.prompt_plans(connection, [benchmark])
        [(run_id, stored)] = responses.runs_of(connection, expert_id, prompts.benchmark_id)
        assert plan.newest_run(connection, expert_id, prompts) == run_id
        provenance = {
            "engine": stored["engine"],
            "model": expert.model,
            "revision": expert.revision,
            "asked_as": prompts.provenance,
        }
        assert responses.ensure_run(connection, expert_id, prompts.benchmark_id, provenance) == run_id
    forecast = plan.forecast(released, expert_id, expert, prompts)
    assert forecast.reused > 0
    assert forecast.to_ask == forecast.queries - forecast.reused - forecast.errors
