"""What an importer reads from a file: results, remarks, and the means of each task."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchcoe_jobs.domain import Note, Result, SkippedRow
from benchcoe_jobs.importers.base import Importer, ReadOptions, TaskMean
from benchcoe_jobs.importers.source import Source


@dataclass
class Reading:
    """The items of a file by their kind."""

    results: list[Result] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stated: list[TaskMean] = field(default_factory=list)

    def means(self) -> dict[str, tuple[int, float]]:
        """The number of rows and their mean by task, as the guard sums them."""
        scores = defaultdict(list)
        for row in self.results:
            score = row.score if row.file_score is None else row.file_score
            scores[row.task or ""].append(score or 0.0)
        return {task: (len(found), round(sum(found) / len(found), 4)) for task, found in scores.items()}

    def stated_means(self) -> dict[str, float]:
        """The means that the file states by task."""
        return {mean.task: round(mean.value, 4) for mean in self.stated}


def reading(importer: Importer, path: Path, **options: str) -> Reading:
    """Read a file as a command with these options does."""
    found = Reading()
    for item in importer.read(Source(path), ReadOptions(**options)):  # type: ignore[arg-type]
        if isinstance(item, Result):
            found.results.append(item)
        elif isinstance(item, SkippedRow):
            found.skipped.append(item)
        elif isinstance(item, Note):
            found.notes.append(item.text)
        else:
            found.stated.append(item)
    return found
