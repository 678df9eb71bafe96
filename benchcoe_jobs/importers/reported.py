"""Published per-subject scores with no per-query results behind them, as CSV, JSONL or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchcoe_jobs.domain import ReportedScore, SkippedRow
from benchcoe_jobs.importers import columns
from benchcoe_jobs.importers.columns import DuplicateGuard, Row
from benchcoe_jobs.importers.rows import converted, read_rows

COLUMNS = ("benchmark", "subject", "expert", "score", "n")


def read_reported(path: Path, benchmark: str | None = None) -> Iterator[ReportedScore | SkippedRow]:
    """Scores of subjects, in file order; a SkippedRow for each row that cannot be used.

    Columns: `subject`, `score` (0 to 1), and `benchmark` unless it is given here; further `expert`
    and `n` (queries behind the score). A subject and expert stand once in a file.
    Raises InputError as `read_rows` does.
    """
    firsts = DuplicateGuard()

    def reported(line: int, row: Row) -> ReportedScore:
        made = ReportedScore(
            line=line,
            benchmark=columns.benchmark_of(row, benchmark),
            subject=columns.needed(row, "subject"),
            score=columns.score(row),
            n=columns.count(row, "n", least=1),
            expert=columns.name(row, "expert"),
        )
        of_expert = f" of expert {made.expert!r}" if made.expert else ""
        firsts.claim(line, f"subject {made.subject!r}{of_expert}", made.benchmark, made.expert, made.subject)
        return made

    required = [("subject",), ("score",), *([] if benchmark else [("benchmark",)])]
    return converted(read_rows(path, COLUMNS, required), reported)
