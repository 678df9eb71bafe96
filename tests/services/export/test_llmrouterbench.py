"""Files of LLMRouterBench."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from export_worlds import N, export_folder, fill

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.session import Store

dialect = pytest.fixture(name="dialect")(lambda: "sqlite")


def test_a_file_for_each_subject_split_and_expert(store: Store, tmp_path: Path) -> None:
    fill(store, {"Ann 1": (1.0, 0.2), "bob": (0.5, 0.8)})
    exported = export_folder(store, "llmrouterbench", tmp_path / "out", split="test")
    assert exported.figures == {"records": 4 * N, "files": 4}
    [path] = (tmp_path / "out/bench/math/test/ann-1").iterdir()
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (document["model_name"], document["dataset_name"], document["split"]) == ("Ann 1", "math", "test")
    assert document["performance"] == pytest.approx(0.2)
    assert document["counts"] == len(document["records"]) == N
    assert document["records"][0] == {
        "index": 1,
        "origin_query": "math test question 0?\nyes\nno 0",
        "prompt": "math test question 0?\nyes\nno 0",
        "prediction": "A",
        "ground_truth": "A",
        "score": 1.0,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost": 0.0,
        "raw_output": "The answer is A. = \x1b[31m",
        "extra_fields": {"benchmark": "toy", "key": "math-test-0"},
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_names_that_would_share_a_file_are_refused(store: Store, tmp_path: Path) -> None:
    fill(store, {"a.1": (1.0, 0.2), "A 1": (0.5, 0.8)})
    with pytest.raises(UsageError, match="would both be 'a-1'"):
        export_folder(store, "llmrouterbench", tmp_path / "out")
    assert not (tmp_path / "out").exists()
