"""Responses that release 0.1.0 stored are still reused: prompts, decoding and provenance are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from released_store import released_store

from benchcoe_jobs.picture_opener import OPENER
from benchcoe_jobs.services.inference import plan
from benchcoe_jobs.store.results import experts, responses
from benchcoe_jobs.store.session import Store


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Store]:
    """The store of release 0.1.0, upgraded."""
    store = released_store(tmp_path)
    yield store
    store.close()


@pytest.mark.parametrize(("name", "benchmark"), [("reckoner", "skills"), ("parrot", "skills"), ("parrot", "mmlu-pro")])
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


def test_pictures_that_release_0_1_0_opened_otherwise_are_asked_about_again(released: Store) -> None:
    with released.writing() as connection:
        expert_id, _ = experts.read_expert(connection, "parrot")
        [prompts] = plan.prompt_plans(connection, ["mmstar"])
        [(_, stored)] = responses.runs_of(connection, expert_id, prompts.benchmark_id)
        assert prompts.provenance == stored["asked_as"] | {"images": OPENER}
        assert plan.newest_run(connection, expert_id, prompts) is None
