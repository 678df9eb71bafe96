"""Migration 0006: runs with thoughts in their answers are those of an expert that keeps them; others stay valid."""

from __future__ import annotations

import pytest
from alembic import command

from benchcoe_jobs.store.migrate import alembic_config
from benchcoe_jobs.store.results import catalog, experts, responses
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store

PLAIN = {"engine": {"engine": "openai", "model": "m"}, "asked_as": {"template": "t"}}
KEEPS = PLAIN | {"engine": PLAIN["engine"] | {"reasoning": "keep"}}
IMPORT = {"format": "csv", "sha256": "0"}


def go_to(store: Store, revision: str) -> None:
    config = alembic_config()
    step = command.upgrade if revision == "head" else command.downgrade
    with store.writing() as connection:
        config.attributes["connection"] = connection
        step(config, revision)


@pytest.mark.parametrize(
    ("text", "provenance", "expected"),
    [
        ("<think>is it (C)?</think> (B)", PLAIN, KEEPS),
        ("is it (C)?\n</think>\n(B)", PLAIN, KEEPS),
        ("[THINK](C)[/THINK](B)", PLAIN, KEEPS),
        ("I think (B) % _think_", PLAIN, PLAIN),
        ("<think>is it (C)?</think> (B)", IMPORT, IMPORT),
    ],
)
def test_the_provenance_of_a_run(filled: Store, text: str, provenance: dict[str, object], expected: object) -> None:
    with filled.writing() as connection:
        expert_id, (benchmark_id, _) = experts.find_expert(connection, "a"), catalog.find_benchmark(connection, "bench")
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, provenance)
        score = NewScore(query_id=1, stratum_id=1, value=1.0, text=text)
        responses.write_scores(connection, expert_id, run_id, [score])
    go_to(filled, "0005")
    go_to(filled, "head")
    with filled.writing() as connection:
        assert dict(responses.runs_of(connection, expert_id, benchmark_id))[run_id] == expected
        assert responses.ensure_run(connection, expert_id, benchmark_id, expected) == run_id  # type: ignore[arg-type]
    go_to(filled, "0005")
    with filled.writing() as connection:
        assert dict(responses.runs_of(connection, expert_id, benchmark_id))[run_id] == provenance
