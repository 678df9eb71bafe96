"""The data files of LLMRouter."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_worlds import N, endpoint, export_folder, fill

from benchcoe_jobs.store.session import Store

dialect = pytest.fixture(name="dialect")(lambda: "sqlite")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_training_data_and_test_data_do_not_mix(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (1.0, 0.2), "bob": (0.5, 0.8)}, rows=[endpoint("ann", price_in=2.0), endpoint("bob")])
    folder = tmp_path / "data"
    export_folder(store, "llmrouter", folder)
    paths = yaml.safe_load((folder / "data_path.yaml").read_text())["data_path"]
    assert {path for path in paths.values() if not (folder / path).exists()} == {"query_embeddings.pt"}
    numbers: dict[str, set[int]] = {}
    for split in ("train", "test"):
        queries, rows = read(folder / f"query_data_{split}.jsonl"), read(folder / f"routing_data_{split}.jsonl")
        assert (len(queries), len(rows)) == (2 * N, 4 * N)
        assert all(f" {split} " in row["query"] for row in [*queries, *rows])
        numbers[split] = {row["embedding_id"] for row in rows}
        assert queries[0]["query"] == next(row["query"] for row in rows if row["embedding_id"] == min(numbers[split]))
    assert numbers == {"train": set(range(2 * N)), "test": set(range(2 * N, 4 * N))}
    [row] = [row for row in rows if row["embedding_id"] == 2 * N and row["model_name"] == "bob"]
    assert (row["performance"], row["token_num"], row["ground_truth"], row["metric"]) == (1.0, 15, "A", "em_mc")
    assert ast.literal_eval(row["choices"]) == {"text": ["yes", "no 0"], "labels": ["A", "B"]}
    models = json.loads((folder / "llm_data.json").read_text())
    assert models["ann"]["input_price"] == 2.0
    assert models["bob"]["api_endpoint"] == "http://127.0.0.1:8000/bob/v1"
    assert "KEY" not in "".join(path.read_text() for path in folder.iterdir())
