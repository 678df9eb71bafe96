"""Registration of experts, and pools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.results import catalog, experts, responses
from benchcoe_jobs.store.results.experts import ExpertRow, Registration
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store


def test_an_expert_without_results_can_be_changed(store: Store) -> None:
    with store.writing() as connection:
        assert experts.add_expert(connection, ExpertRow("x", "vllm", "misspelt")) is Registration.NEW
        assert experts.registration(connection, ExpertRow("x", "vllm", "model")) is Registration.CHANGED
        assert experts.add_expert(connection, ExpertRow("x", "vllm", "model", cost=2.0)) is Registration.CHANGED
        assert experts.add_expert(connection, ExpertRow("x", "vllm", "model")) is Registration.UNCHANGED
        _, stored = experts.read_expert(connection, "x")
    assert stored == ExpertRow("x", "vllm", "model", cost=2.0), "without a cost, the stored one stays"


def test_an_expert_with_results_keeps_its_settings(filled: Store) -> None:
    with filled.writing() as connection:
        with pytest.raises(UsageError, match="'a' exists with another engine and model"):
            experts.add_expert(connection, ExpertRow("a", "vllm", "model"))
        assert experts.add_expert(connection, ExpertRow("a", "recorded", cost=9.0)) is Registration.CHANGED
        assert experts.costs(connection) == {"a": 9.0, "b": 2.0}


def test_settings_that_change_no_answer_can_be_changed_at_any_time(filled: Store) -> None:
    """More time, another key, and answers of another model become possible; no answer that is there becomes another."""
    free = {"timeout_s": 900.0, "deadline_s": 60.0, "api_key_env": "KEY", "accept_model": ["b"]}
    with filled.writing() as connection:
        assert experts.add_expert(connection, ExpertRow("a", "recorded", settings=free)) is Registration.CHANGED
        assert experts.read_expert(connection, "a")[1].settings == free
        with pytest.raises(UsageError, match="'a' exists with another api and reasoning:"):
            experts.add_expert(connection, ExpertRow("a", "recorded", settings={"api": "chat", "reasoning": "keep"}))


def test_an_expert_with_imported_results_gets_an_engine(filled: Store) -> None:
    """Until the engine was asked something, a misspelt model can be corrected."""
    imported, measured = {"format": "table", "sha256": "f" * 64}, {"engine": "x", "asked_as": {}}
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "bench")
        experts.add_expert(connection, ExpertRow("c", "recorded", cost=1.0))
        expert_id = experts.find_expert(connection, "c")
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, imported)
        query = next(iter(catalog.stored_queries(connection, benchmark_id).values()))
        responses.write_scores(connection, expert_id, run_id, [NewScore(query.id, query.stratum_id, 1.0)])
        assert experts.add_expert(connection, ExpertRow("c", "vllm", "misspelt")) is Registration.CHANGED
        assert experts.add_expert(connection, ExpertRow("c", "vllm", "model")) is Registration.CHANGED
        assert experts.read_expert(connection, "c")[1] == ExpertRow("c", "vllm", "model", cost=1.0)
        assert responses.scored_by(connection, expert_id, benchmark_id) == {query.id: run_id}
        assert responses.runs_of(connection, expert_id, benchmark_id) == [(run_id, imported)]
        with pytest.raises(UsageError, match="'c' exists with another engine and model"):
            experts.add_expert(connection, ExpertRow("c", "recorded"))
        responses.ensure_run(connection, expert_id, benchmark_id, measured)
        with pytest.raises(UsageError, match="'c' exists with another model"):
            experts.add_expert(connection, ExpertRow("c", "vllm", "other"))


def test_a_model_folder_that_was_stored_as_a_relative_path_stays_the_same(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is part of the fingerprint of every run; from 0.3.0 on, new experts have absolute paths."""
    monkeypatch.chdir(tmp_path)
    with filled.writing() as connection:
        connection.exec_driver_sql("UPDATE expert SET engine = 'vllm', model = 'models/a' WHERE name = 'a'")
        again = ExpertRow("a", "vllm", str(tmp_path / "models" / "a"))
        assert experts.add_expert(connection, again) is Registration.UNCHANGED
        assert experts.add_expert(connection, replace(again, cost=3.0)) is Registration.CHANGED
        assert experts.read_expert(connection, "a")[1].model == "models/a"


def test_unknown_names_list_the_known_ones(filled: Store) -> None:
    with filled.reading() as connection:
        with pytest.raises(UsageError, match="'c'; known are a, b"):
            experts.find_expert(connection, "c")
        with pytest.raises(UsageError, match="'c'; known are all, one"):
            experts.find_pool(connection, "c")


def test_members_of_pools(filled: Store) -> None:
    def members() -> dict[str, list[str]]:
        with filled.reading() as connection:
            return {str(row["pool"]): list(row["experts"]) for row in experts.pools(connection)}  # type: ignore[call-overload]

    assert members() == {"all": ["a", "b"], "one": ["a"]}
    with filled.writing() as connection:
        experts.change_pool(connection, "one", add=["a", "b"], remove=["a"])
        experts.change_pool(connection, "two", add=["a", "b"])
        with pytest.raises(UsageError, match="pool 'all'"):
            experts.change_pool(connection, "all", remove=["a"])
    assert members() == {"all": ["a", "b"], "one": ["b"], "two": ["a", "b"]}
    with filled.writing() as connection:
        experts.set_retired(connection, "b", True)
    assert members() == {"all": ["a"], "one": [], "two": ["a"]}
    with filled.writing() as connection:
        experts.set_retired(connection, "b", False)
        shown = experts.experts(connection)
    assert members()["two"] == ["a", "b"]
    assert [(row["expert"], row["scores"], row["retired"]) for row in shown] == [("a", 5, False), ("b", 5, False)]


def test_a_trial_pool_reinstates_its_members_and_is_rolled_back(filled: Store) -> None:
    with filled.writing() as connection:
        experts.set_retired(connection, "b", True)
    with filled.writing() as connection:
        ids = experts.expert_ids(connection)
        pool = experts.trial_pool(connection, ids.values(), 0.5)
        assert experts.pool_members(connection, pool.id) == ids
        assert pool.min_coverage == 0.5
        connection.rollback()
    with filled.reading() as connection:
        assert [row["pool"] for row in experts.pools(connection)] == ["all", "one"]
        assert list(experts.pool_members(connection, experts.find_pool(connection, "all").id)) == ["a"]


def test_coverage_is_set_for_one_pool(filled: Store) -> None:
    with filled.writing() as connection:
        experts.set_min_coverage(connection, experts.find_pool(connection, "one"), 0.5)
        assert [row["min_coverage"] for row in experts.pools(connection)] == [0.95, 0.5]
        assert catalog.find_benchmark(connection, None)[1] == "bench"
