"""RouterArena: rows that were not evaluated, and the real file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from imported import imported, reasons, results
from needs import SHARED_DATA, skip_or_fail

ROW = {"global_index": "QANTA_Fine Arts_7", "question": "Who?", "llm_selected": "m", "generated_answer": "She."}


def test_a_row_that_was_not_evaluated_is_skipped(tmp_path: Path) -> None:
    rows = [{**ROW, "evaluation_result": {"score": 0.5}}, {**ROW, "evaluation_result": None, "error": "429"}]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    items = imported("routerarena", path)
    [found] = results(items)
    assert (found.query.key, found.query.subject, found.score) == ("QANTA_Fine Arts_7", "QANTA_Fine Arts", 0.5)
    assert reasons(items) == ["it was not evaluated: '429'"]


def test_the_published_rows_have_the_right_mean() -> None:
    path = SHARED_DATA / "formats" / "routerarena" / "claude-3-haiku-20240307.head.jsonl"
    if not path.exists():
        skip_or_fail(f"there is no {path}")
    scores = [row.score or 0.0 for row in results(imported("routerarena", path))]
    assert len(scores) == 200
    assert sum(scores) / 200 == pytest.approx(0.5549, abs=5e-5)
