"""Moves of queries to clusters and back, on both databases."""

from __future__ import annotations

from benchcoe_jobs.store.results import aggregates, catalog, clusters, repairs
from benchcoe_jobs.store.session import Store


def test_queries_move_within_their_split_and_back(filled: Store) -> None:
    with filled.writing() as connection:
        ids = catalog.subject_ids(connection, 1)
        before = clusters.sizes(connection, 1)
        clusters.add(connection, 1, ids["maths"], ["sums", "sets"])
        stored = catalog.stored_queries(connection, 1)
        cluster_of = {stored[key].id: name for key, name in {"q1": "sums", "q2": "sets", "q4": "sets"}.items()}
        aggregates.refresh(connection, [1], repairs.move_queries(connection, clusters.moves(connection, 1, cluster_of)))
        sizes = {size.name: (size.n_queries["train"], size.n_queries["test"]) for size in clusters.sizes(connection, 1)}
        assert sizes == {"law": (1, 0), "maths": (1, 0), "sets": (1, 1), "sums": (1, 0)}
        assert {query.subject for query in catalog.stored_queries(connection, 1).values()} == {"law", "maths"}
        back = clusters.moves_back(connection, 1)
        assert back.keys() == cluster_of.keys()
        aggregates.refresh(connection, [1], repairs.move_queries(connection, back))
        assert clusters.sizes(connection, 1) == before
        assert catalog.stored_queries(connection, 1) == stored
