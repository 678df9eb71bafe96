"""Which labels are settled."""

from __future__ import annotations

import export_worlds

from benchcoe_jobs.services.labelling.scope import find_scope
from benchcoe_jobs.services.report.subjects import label_figures
from benchcoe_jobs.store.session import Store


def test_a_tied_or_a_close_label_is_not_settled(store: Store) -> None:
    right = {"ann": (1.0, 0.75, 0.0, 0.9), "bob": (1.0, 0.8, 0.0, 0.1)}
    export_worlds.fill(store, right, ("art", "law", "map", "sea"))
    with store.reading() as connection:
        found = label_figures(connection, find_scope(connection, "all", None, "train"))
    settled = {s.subject: (s.expert, s.is_settled) for s in found.subjects}
    assert settled["sea"] == ("ann", True)
    assert settled["law"] == ("bob", False), "a third of the resamples lacks the question that they differ on"
    assert settled["map"] == (None, False), "no expert earns it"
    assert not settled["art"][1], "both are always right"
    assert (found.queries.n, found.queries.all_wrong) == (80, 26)
