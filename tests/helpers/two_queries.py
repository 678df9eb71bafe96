"""The benchmark `toy` with two queries, and the scores on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select
from tables import add_experts, bring

from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Expert, Query, Score

FIRST: dict[str, Any] = {
    "key": "q1",
    "text": "Which is even?",
    "subject": "math",
    "choices": ["one", "two"],
    "answer": "B",
}
SECOND: dict[str, Any] = {
    "key": "q2",
    "text": "Who wrote Faust?",
    "subject": "letters",
    "choices": ["Goethe", "Mann"],
    "answer": "A",
}


def fill(store: Store, folder: Path) -> None:
    """Experts ann and bob; ann is right on the first query and wrong on the second."""
    add_experts(store, ann=None, bob=None)
    bring(store, folder, "ann", {**FIRST, "score": 1}, {**SECOND, "score": 0})


def scores_of(store: Store) -> dict[tuple[str, str], float]:
    """(expert, query key) -> score."""
    with store.reading() as connection:
        rows = connection.execute(
            select(Expert.name, Query.key, Score.value)
            .join(Expert, Expert.id == Score.expert_id)
            .join(Query, Query.id == Score.query_id)
        )
        return {(row.name, row.key): row.value for row in rows}
