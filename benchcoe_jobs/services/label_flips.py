"""Which labels of a benchmark changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from benchcoe_jobs.store.labels.live_labels import AllLabels


@dataclass(frozen=True, slots=True)
class Flip:
    """A subject label that changed; None if no expert earns it, or none is eligible."""

    pool: str
    split: str
    subject: str
    before: str | None
    after: str | None


def flips(before: AllLabels, after: AllLabels) -> tuple[list[Flip], dict[str, int]]:
    """The subject labels that changed, sorted, and the number of query labels that did, by pool."""
    of_subjects = [
        Flip(*key, before.subject.get(key), after.subject.get(key))
        for key in sorted(before.subject.keys() | after.subject.keys())
        if before.subject.get(key) != after.subject.get(key)
    ]
    of_queries = Counter(
        pool
        for pool, query_id in before.query.keys() | after.query.keys()
        if before.query.get((pool, query_id)) != after.query.get((pool, query_id))
    )
    return of_subjects, dict(sorted(of_queries.items()))
