"""The result of an import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.ingest.answer_update import AnswerUpdate
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.wording import counted


@dataclass
class Earlier:
    """What earlier files of the same command brought: new benchmarks, and their name for the model of the expert."""

    benchmarks: set[str] = field(default_factory=set)
    model: str | None = None


@dataclass
class ImportSummary:
    """The result of an import. Each row that was read is scored, unchanged or skipped.

    `format` is that of a result file, and `why` the reason for which it was recognised. `completed` counts the stored
    queries whose text or answer was unknown before; `created` are the experts that were registered. Of the responses
    that were scored here, `claims` counts those with an answer that the file extracted, `disagreements` those from
    which another one was extracted, and `differing_scores` those with another score than that of the file.
    `benchmarks` are those of its rows. `import_name` is the name of the import, by which it can be removed; None if it
    changed nothing. `update` reports corrected answers, if they were to be taken.
    """

    file: str
    format: str | None = None
    why: str | None = None
    read: int = 0
    scored: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    new_queries: int = 0
    completed: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    claims: int = 0
    disagreements: int = 0
    differing_scores: int = 0
    created: list[str] = field(default_factory=list)
    benchmarks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)
    import_name: str | None = None
    update: AnswerUpdate | None = None

    def as_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        found = {**vars(self), "skipped": [asdict(row) for row in self.skipped]}
        del found["update"]
        return found if self.update is None else {**found, "update": self.update.as_json()}

    def finish(self, record: ImportRecord, benchmarks: Sequence[str]) -> None:
        """Store the counts in the record of the import, as its last change."""
        self.benchmarks = sorted(benchmarks)
        counts = {
            "read": self.read,
            "scored": dict(self.scored),
            "unchanged": self.unchanged,
            "skipped": len(self.skipped),
            "new_queries": self.new_queries,
            "completed": self.completed,
            "corrected": 0 if self.update is None else len(self.update.answers),
        }
        self.import_name = record.name if record.finish(benchmarks, counts) else None

    def add(self, other: ImportSummary) -> None:
        """Add the result of another import, whose skipped rows get its name."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if name == "skipped":
                self.skipped += [replace(row, file=row.file or other.file) for row in value]
            elif isinstance(mine, Counter):
                mine.update(value)
            elif isinstance(mine, int | list):
                setattr(self, name, mine + value)

    @property
    def _has_update(self) -> bool:
        return self.update is not None and bool(self.update.answers)

    def require_something(self) -> None:
        """Raise InputError if no row could be used."""
        if not (self.scored or self.unchanged or self.new_queries or self.completed or self._has_update):
            why = ""
            if self.skipped:
                reason, n = Counter(row.reason for row in self.skipped).most_common(1)[0]
                line = min(row.line for row in self.skipped if row.reason == reason)
                why = f"; {n} rows, the first of them row {line}: {reason}" if n > 1 else f"; row {line}: {reason}"
            raise InputError(f"{self.file}: none of {counted(self.read, 'row')} can be used{why}")
