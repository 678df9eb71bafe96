"""The scale of the scores of a file: a value that is not on it refuses the file, however the other rows look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchcoe_jobs.domain import Note, Result, Scale, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reported import ReportedScore, read_reported
from benchcoe_jobs.importers.table import read_results

Row = Result | ReportedScore | SkippedRow | Note
READERS = pytest.mark.parametrize("read", [read_results, read_reported])


def written(folder: Path, suffix: str, scores: list[Any]) -> Path:
    path = folder / f"scores.{suffix}"
    rows = [{"key": f"q{n}", "subject": f"s{n}", "score": score} for n, score in enumerate(scores)]
    if suffix == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(
            "key,subject,score\n" + "".join(f"{row['key']},{row['subject']},{row['score']}\n" for row in rows)
        )
    return path


def without_key(path: Path) -> Path:
    """The same table without the column key, which import-scores does not know."""
    if path.suffix == ".parquet":
        parquet.write_table(parquet.read_table(path).drop_columns(["key"]), path)
    elif path.suffix == ".csv":
        path.write_text("".join(line.partition(",")[2] + "\n" for line in path.read_text().splitlines()))
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({"subject": row["subject"], "score": row["score"]}) + "\n" for row in rows))
    return path


def values(read: Any, folder: Path, suffix: str, scores: list[Any], scale: Scale = Scale.FRACTION) -> list[float]:
    path = written(folder, suffix, scores)
    rows = read(path if read is read_results else without_key(path), "exam", scale)
    return [row.score for row in rows if isinstance(row, Result | ReportedScore)]


@READERS
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("scores", [[0.9, 61.2], [61.2, 0.9], [1.0, 1.5, 0.0], [0.5, -0.1], [5.0, 300.0]])
def test_one_score_outside_of_the_scale_refuses_the_file(
    tmp_path: Path, read: Any, suffix: str, scores: list[float]
) -> None:
    with pytest.raises(InputError, match=r"nothing was imported: row \d: score .* is not between 0 and 1, so the file"):
        values(read, tmp_path, suffix, scores)


@READERS
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_percent_only_on_request(tmp_path: Path, read: Any, suffix: str) -> None:
    assert values(read, tmp_path, suffix, [61.2, 0.9, 0.0, 100.0], Scale.PERCENT) == pytest.approx(
        [0.612, 0.009, 0.0, 1.0], abs=1e-15
    )
    with pytest.raises(
        InputError, match="give --scale percent if every score is in percent, or divide percentages by 100"
    ):
        values(read, tmp_path, suffix, [61.2, 0.9])
    with pytest.raises(
        InputError, match=r"score '?101(\.0)?'? is not between 0 and 100, so the file is not in percent"
    ):
        values(read, tmp_path, suffix, [61.2, 101.0], Scale.PERCENT)


def test_a_percent_sign_is_a_scale_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"score '61\.2%' is in percent: give --scale percent if every score is"):
        values(read_results, tmp_path, "csv", [0.9, "61.2%"])
    assert values(read_results, tmp_path, "csv", [0.9, "61.2%", "7 %"], Scale.PERCENT) == pytest.approx(
        [0.009, 0.612, 0.07]
    )


def test_the_scale_shows_in_rows_that_are_skipped_for_another_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("key,subject,score\nq1,,61.2\nq2,law,0.9\n")
    with pytest.raises(InputError, match=r"row 2: score .61\.2. is not between 0 and 1"):
        list(read_results(path, "exam"))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_true_and_false_are_scores(tmp_path: Path, suffix: str) -> None:
    assert values(read_results, tmp_path, suffix, [True, False, True]) == [1.0, 0.0, 1.0]
    with pytest.raises(InputError, match="is true or false, not in percent: leave out --scale percent"):
        values(read_results, tmp_path, suffix, [True, False], Scale.PERCENT)


@pytest.mark.parametrize("cell", ["True", "true", "TRUE", " false ", "FALSE"])
def test_every_spelling_of_true_and_false(tmp_path: Path, cell: str) -> None:
    assert values(read_results, tmp_path, "csv", [cell]) == [float("t" in cell.lower())]


def test_rounding_does_not_refuse_a_file(tmp_path: Path) -> None:
    assert values(read_results, tmp_path, "jsonl", [1.0000000000000002, -1e-12, 1.0000001]) == [1.0, 0.0, 1.0]


def test_a_missing_or_odd_score_is_one_row(tmp_path: Path) -> None:
    """It tells nothing about the scale of the others."""
    assert values(read_results, tmp_path, "csv", ["", "nan", "good", "1", "-inf"]) == [1.0]


@READERS
def test_fractions_as_percent_are_noted(tmp_path: Path, read: Any) -> None:
    path = written(tmp_path, "csv", [0.5, 1.0])
    rows = list(read(path if read is read_results else without_key(path), "exam", Scale.PERCENT))
    assert [row.text for row in rows if isinstance(row, Note)] == [
        "no score is above 1 %: leave out --scale percent if the scores are between 0 and 1 (0.01)"
    ]
