"""Published per-subject scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.domain import SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reported import ReportedScore, read_reported


def reported(path: Path, content: str, benchmark: str | None = "exam") -> list[ReportedScore | SkippedRow]:
    path = path / "scores.csv"
    path.write_text(content)
    return list(read_reported(path, benchmark))


def test_every_column(tmp_path: Path) -> None:
    content = "benchmark,subject,expert,score,n\nexam,law,llama,0.5,100\nexam,math,,1,\n"
    assert reported(tmp_path, content, None) == [
        ReportedScore(2, "exam", "law", 0.5, 100, "llama"),
        ReportedScore(3, "exam", "math", 1.0),
    ]


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    content = "benchmark,subject,score,n\n,law,0.5,1\n,law,0.5,1\n,,0.5,1\n,a,good,1\n,b,0.5,0\nquiz,c,0.5,1\n,d,,1\n"
    assert reported(tmp_path, content)[1:] == [
        SkippedRow(3, "it repeats an earlier row (row 3 repeats row 2: subject 'law')"),
        SkippedRow(4, "subject is empty"),
        SkippedRow(5, "score 'good' is not a number"),
        SkippedRow(6, "n '0' is not a whole number from 1 to 2147483647"),
        SkippedRow(7, "the row is about benchmark 'quiz', not 'exam'"),
        SkippedRow(8, "score is empty"),
    ]


def test_each_expert_has_its_own_row(tmp_path: Path) -> None:
    content = "subject,expert,score\nlaw,a,0.5\nlaw,b,0.5\nlaw,a,0.5\n"
    assert reported(tmp_path, content)[2] == SkippedRow(
        4, "it repeats an earlier row (row 4 repeats row 2: subject 'law' of expert 'a')"
    )


def test_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'benchmark'"):
        reported(tmp_path, "subject,score\nlaw,1\n", None)
    with pytest.raises(InputError, match="unknown column 'key'; known are benchmark, subject, expert, score, n"):
        reported(tmp_path, "subject,score,key\nlaw,1,q1\n")
