"""A file is routed for its quote, and nothing is submitted."""

from __future__ import annotations

from pathlib import Path

import pytest
import routing_world
import tiny_quiz
from prompt_files import chat, write

from benchcoe_jobs.services.batch.quote import quote_file
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.session import Store


def test_lines_are_counted_by_expert(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_quiz.install(tmp_path, monkeypatch)
    routing_world.fill(store, tmp_path)
    lines = [chat(n, f"how many {'bricks' if n % 4 == 0 else 'apples'} in case {n}") for n in range(20)]
    file = write(tmp_path / "prompts.jsonl", *lines)
    found = quote_file(store, tmp_path, file, None, None)
    assert [(part.expert, part.queries) for part in found.parts] == [("ann", 15), ("bob", 5)]
    cost = found.total("cost")
    assert cost is not None
    assert (cost.value, found.total("seconds")) == (25.0, None)
    assert [part.queries for part in quote_file(store, tmp_path, file, None, 22.0).parts] == [18, 2]
    with store.reading() as connection:
        assert jobs.list_jobs(connection) == []
