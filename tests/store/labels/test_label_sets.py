"""Frozen label sets, and how many of their labels are stale."""

from __future__ import annotations

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.store.labels import label_sets
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.session import Store


def scope(store: Store) -> Scope:
    with store.reading() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, None)
        return Scope(experts.find_pool(connection, "all"), benchmark_id, name, "train")


def test_the_same_labels_are_stored_once(filled: Store) -> None:
    with filled.writing() as connection:
        first = label_sets.freeze(connection, Level.SUBJECT, scope(filled))
        again = label_sets.freeze(connection, Level.SUBJECT, scope(filled))
        queries = label_sets.freeze(connection, Level.QUERY, scope(filled))
        abstaining = label_sets.freeze(connection, Level.SUBJECT, scope(filled), Policy.ABSTAIN)
        shown = label_sets.label_sets(connection)
    assert (first.created, again.created, again.id) == (True, False, first.id)
    assert len({one.fingerprint for one in (first, queries, abstaining)}) == 3
    assert [(row["level"], row["policy"], row["labels"], row["stale"]) for row in shown] == [
        ("subject", "abstain", 2, 0),
        ("query", "best", 4, 0),
        ("subject", "best", 1, 0),  # no expert earns the label of maths
    ]


def test_labels_become_stale_when_the_views_change(filled: Store) -> None:
    with filled.writing() as connection:
        label_sets.freeze(connection, Level.SUBJECT, scope(filled))
        label_sets.freeze(connection, Level.QUERY, scope(filled))
        experts.set_retired(connection, "b", True)
        stale = [(row["level"], row["stale"]) for row in label_sets.label_sets(connection)]
        renewed = label_sets.freeze(connection, Level.SUBJECT, scope(filled))
    assert stale == [("query", 2), ("subject", 2)], "law has no label any more, and maths has one"
    assert renewed.created
