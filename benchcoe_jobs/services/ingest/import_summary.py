"""The result of an import."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.wording import counted


@dataclass
class ImportSummary:
    """The result of an import. Each row that was read is scored, unchanged or skipped.

    `completed` counts the stored queries whose text or answer was unknown before.
    """

    file: str
    read: int = 0
    scored: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    new_queries: int = 0
    completed: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    disagreements: int = 0
    notes: list[str] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        return {**vars(self), "skipped": [asdict(row) for row in self.skipped]}

    def require_something(self) -> None:
        """Raise InputError if no row could be used."""
        if not (self.scored or self.unchanged or self.new_queries or self.completed):
            why = ""
            if self.skipped:
                reason, n = Counter(row.reason for row in self.skipped).most_common(1)[0]
                line = min(row.line for row in self.skipped if row.reason == reason)
                why = f"; {n} rows, the first of them row {line}: {reason}" if n > 1 else f"; row {line}: {reason}"
            raise InputError(f"{self.file}: none of {counted(self.read, 'row')} can be used{why}")
