"""Published per-subject scores without per-query results, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchcoe_jobs.domain import Note, Scale, SkippedRow
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row
from benchcoe_jobs.importers.reading.rows import converted, read_rows, scaled


@dataclass(frozen=True, slots=True)
class ReportedScore:
    """A published per-subject score in [0, 1], over `n` queries if the number is known."""

    line: int
    benchmark: str
    subject: str
    score: float
    n: int | None = None
    expert: str | None = None


COLUMNS = ("benchmark", "subject", "expert", "score", "n")


def read_reported(
    path: Path, benchmark: str | None = None, scale: Scale = Scale.FRACTION
) -> Iterator[ReportedScore | SkippedRow | Note]:
    """The scores of subjects in file order, and a SkippedRow for each row that cannot be used.

    Required columns: `subject`, `score` (on `scale`), and `benchmark` unless it is given here. Optional: `expert` and
    `n` (the number of queries of the score). A file may have one row for each subject and expert. Raises InputError
    as `read_rows` does, and for a score that is not on the scale.
    """
    duplicates = DuplicateGuard()

    def reported(line: int, row: Row) -> ReportedScore:
        value = columns.score(row, scale)  # first: a row that is skipped shows the scale of the file too
        score = ReportedScore(
            line=line,
            benchmark=columns.benchmark_of(row, benchmark),
            subject=columns.required(row, "subject"),
            score=value,
            n=columns.count(row, "n", least=1),
            expert=columns.name(row, "expert"),
        )
        of_expert = f" of expert {score.expert!r}" if score.expert else ""
        duplicates.claim(line, f"subject {score.subject!r}{of_expert}", score.benchmark, score.expert, score.subject)
        return score

    required = [("subject",), ("score",), *([] if benchmark else [("benchmark",)])]
    return scaled(converted(path, read_rows(path, COLUMNS, required, require_known=True), reported), scale)
