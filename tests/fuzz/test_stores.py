"""Hostile tables end in the same way on both databases: in equal stores, or in the same message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_worlds import clear
from store_content import content, differences
from tables import BENCHMARK, add_experts

from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import Store, connect

ROWS = [
    {
        "expert": expert,
        "benchmark": BENCHMARK,
        "key": f"q{number}",
        "subject": "law",
        "text": f"Is {number} odd?",
        "choices": ["yes", "no"],
        "answer": "A",
        "images": [],
        "score": number % 2,
        "response": "The answer is (A).",
        "cost": 0.5,
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "latency_s": 0.1,
    }
    for expert in ("ann", "bob")
    for number in (1, 2)
]


@pytest.fixture(scope="module")
def stores(fresh_postgres: Callable[[bool], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    path = tmp_path_factory.mktemp("hostile") / "store.db"
    with closing(connect(f"sqlite:///{path}")) as sqlite, closing(connect(fresh_postgres(True))) as postgresql:
        upgrade(sqlite)
        yield [sqlite, postgresql]


def outcome(store: Store, path: Path, expert: str) -> str:
    """What became of an import: the number of scores, or the message."""
    clear(store)
    add_experts(store, ann=1.0, bob=None)
    try:
        summary = import_results(store, expert, path, form="table", options=ReadOptions(benchmark=None))
    except BenchcoeError as error:
        return str(error)
    return re.sub(r"import-\d+", "import-N", repr(summary))  # a refused import may take a number


@hostile.fuzzed
@given(file=hostile.lines(*ROWS), expert=st.sampled_from(["ann", "all"]))
def test_hostile_tables_on_both_databases(stores: list[Store], tmp_path: Path, file: bytes, expert: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(file)
    sqlite, postgresql = (outcome(store, path, expert) for store in stores)
    assert sqlite == postgresql
    assert "\n" not in sqlite
    assert differences(content(stores[0]), content(stores[1])) == []
