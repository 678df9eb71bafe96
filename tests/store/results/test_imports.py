"""The record of an import: what it keeps, and that there is none if nothing changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import two_queries
from sqlalchemy import select

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.results import catalog, experts, imports, pictures
from benchcoe_jobs.store.results.import_tables import EarlierRow
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import QueryPicture, Score


def test_the_first_state_of_a_row_is_kept_and_also_that_there_is_none(store: Store, tmp_path: Path) -> None:
    two_queries.fill(store, tmp_path)
    with store.writing() as connection:
        ann = experts.find_expert(connection, "ann")
        benchmark_id, _ = catalog.find_benchmark(connection, "toy")
        stored = catalog.stored_queries(connection, benchmark_id)["q1"].id
        record = imports.begin(connection, "import-results", "file", "0")
        record.keep(Score, [stored, 999], expert_id=ann)
        connection.execute(Score.__table__.update().values(value=0.25))
        record.keep(Score, [stored], expert_id=ann)
        pictures.add(connection, {stored: [b"\x00png"]})
        record.keep(QueryPicture, range(2), query_id=stored)
        kept = connection.execute(select(EarlierRow.table_name, EarlierRow.key, EarlierRow.content)).all()
        assert record.finish(["toy"], {})
    found = {(table, key): content for table, key, content in kept}
    assert found["score", f"[{ann}, {stored}]"]["value"] == 1
    assert found["score", f"[{ann}, 999]"] is None
    assert found["query_picture", f"[{stored}, 0]"]["picture_hash"] == hashlib.sha256(b"\x00png").hexdigest()
    assert found["query_picture", f"[{stored}, 1]"] is None
    assert len(kept) == 4


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_an_import_that_changes_nothing_is_not_listed(store: Store) -> None:
    with store.writing() as connection:
        assert not imports.begin(connection, "import-results", "file", "0").finish([], {"read": 3})
        with pytest.raises(
            UsageError, match="there is no import 'import-1'; the store has none: `benchcoe-jobs imports`"
        ):
            imports.find_import(connection, "import-1")
        assert imports.begin(connection, "import-results", "file", "0").finish(["b"], {"new_queries": 1})
        assert imports.find_import(connection, "2") == imports.find_import(connection, "import-2")
        with pytest.raises(UsageError, match="the latest are import-2"):
            imports.find_import(connection, "1")
