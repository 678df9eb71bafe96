"""Predictions for RouterArena."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from export_worlds import export_folder, fill, train

from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.store.session import Store

dialect = pytest.fixture(name="dialect")(lambda: "sqlite")


def test_a_prediction_for_each_question_of_the_data_set(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (1.0, 0.0), "bob": (0.0, 1.0)})
    train(store, tmp_path)
    data = tmp_path / "router_data_10.json"
    questions = {"MMLU_1": "law question 1", "MMLU_2": "math question 2"}
    data.write_text(json.dumps([{"global index": i, "prompt_formatted": text} for i, text in questions.items()]))
    folder = tmp_path / "out"
    exported = export_folder(store, "routerarena", folder, {"data": data, "map": {"bob": "org/Bob"}}, router="r")
    assert exported.figures == {"decisions": 2, "models": {"ann": 1, "org/Bob": 1}}
    assert exported.notes == (
        "2 questions: the checks of RouterArena expect 809 (sub_10), 8,400 (full), 420 (robustness)",
    )
    config = json.loads((folder / "router_inference/config/r.json").read_text())
    assert config == {"pipeline_params": {"router_name": "r", "models": ["ann", "org/Bob"]}}
    path = folder / "router_inference/predictions/r.json"
    predictions = json.loads(path.read_text())
    assert [(p["global index"], p["prompt"], p["prediction"]) for p in predictions] == [
        ("MMLU_1", "law question 1", "ann"),
        ("MMLU_2", "math question 2", "org/Bob"),
    ]
    digest, name = (folder / "decisions.sha256").read_text().split()
    assert (digest, folder / name) == (hashlib.sha256(path.read_bytes()).hexdigest(), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not a list of questions"),
        ('[{"global index": 1, "prompt": "x"}]', "entry 1 has no text 'global index'"),
        ('[{"global index": "a", "prompt": "x"}, {"global index": "a", "prompt": "y"}]', "occurs twice"),
        ("[" * 100_000, "too large or too deep"),
    ],
)
def test_another_file_is_refused(store: Store, tmp_path: Path, content: str, message: str) -> None:
    data = tmp_path / "data.json"
    data.write_text(content)
    with pytest.raises(BenchcoeError, match=message):
        export_folder(store, "routerarena", tmp_path / "out", {"data": data}, router="r")
