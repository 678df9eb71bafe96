"""Published per-subject scores without per-query results, as CSV, JSONL or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchcoe_jobs.domain import ReportedScore, SkippedRow
from benchcoe_jobs.importers import columns
from benchcoe_jobs.importers.columns import DuplicateGuard, Row
from benchcoe_jobs.importers.rows import converted, read_rows

COLUMNS = ("benchmark", "subject", "expert", "score", "n")


def read_reported(path: Path, benchmark: str | None = None) -> Iterator[ReportedScore | SkippedRow]:
    """The scores of subjects in file order, and a SkippedRow for each row that cannot be used.

    Required columns: `subject`, `score` (0 to 1), and `benchmark` unless it is given here. Optional: `expert` and `n`
    (the number of queries of the score). A file may have one row for each subject and expert. Raises InputError as
    `read_rows` does.
    """
    duplicates = DuplicateGuard()

    def reported(line: int, row: Row) -> ReportedScore:
        score = ReportedScore(
            line=line,
            benchmark=columns.benchmark_of(row, benchmark),
            subject=columns.required(row, "subject"),
            score=columns.score(row),
            n=columns.count(row, "n", least=1),
            expert=columns.name(row, "expert"),
        )
        of_expert = f" of expert {score.expert!r}" if score.expert else ""
        duplicates.claim(line, f"subject {score.subject!r}{of_expert}", score.benchmark, score.expert, score.subject)
        return score

    required = [("subject",), ("score",), *([] if benchmark else [("benchmark",)])]
    return converted(read_rows(path, COLUMNS, required), reported)
