"""What a removal deleted, and what stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.sql.dml import Delete

NOUNS = {
    "benchmark": ("benchmark", "benchmarks"),
    "decision": ("decision", "decisions"),
    "evaluation": ("evaluation", "evaluations"),
    "expert": ("expert", "experts"),
    "import": ("import", "imports"),
    "job": ("job", "jobs"),
    "label_set": ("label set", "label sets"),
    "query": ("query", "queries"),
    "reported_score": ("reported score", "reported scores"),
    "response": ("response", "responses"),
    "router": ("router", "routers"),
    "score": ("score", "scores"),
    "served_decision": ("served decision", "served decisions"),
    "subject": ("subject", "subjects"),
}
"""The tables whose rows are counted, with their words."""


@dataclass
class Removal:
    """The numbers of deleted rows by table, and one sentence for each kind of thing that stays although it was named.

    `restored` is the number of scores that an import had replaced and that are back.
    """

    deleted: Counter[str] = field(default_factory=Counter)
    restored: int = 0
    stays: list[str] = field(default_factory=list)

    def delete(self, connection: Connection, statement: Delete) -> int:
        """Delete rows and count them. Returns their number."""
        n = connection.execute(statement).rowcount
        name = str(statement.table)
        if n > 0 and name in NOUNS:
            self.deleted[name] += n
        return n

    def as_json(self) -> dict[str, Any]:
        """The removal as one JSON object."""
        return {"deleted": dict(sorted(self.deleted.items())), "restored": self.restored, "stays": self.stays}
