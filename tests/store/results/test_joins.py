"""The shared joins: their columns, and that references read no content."""

from __future__ import annotations

from benchcoe_jobs.store.results.joins import QUERIES, QUERY_REFS, QueryRef
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Query


def test_the_columns_are_those_of_a_reference(filled: Store) -> None:
    with filled.reading() as connection:
        [row] = connection.execute(QUERY_REFS.where(Query.key == "q4"))
        stratum_id = row.stratum_id
        assert QueryRef(*row) == QueryRef(row.id, "q4", "maths", "test", stratum_id)
        [full] = connection.execute(QUERIES.where(Query.key == "q4"))
    assert tuple(full) == (*row, "text of q4", [], None)


def test_references_do_not_read_the_content() -> None:
    assert "query_content" not in str(QUERY_REFS)
    assert "query_content" in str(QUERIES)
