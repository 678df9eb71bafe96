"""Input files of the OpenAI batch API, which `submit` accepts too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from export_worlds import N, export_file, export_folder, fill, train

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.batch.openai_format import read_lines
from benchcoe_jobs.store.session import Store

dialect = pytest.fixture(name="dialect")(lambda: "sqlite")


def test_a_file_for_each_expert_with_the_prompts_of_the_benchmark(store: Store, tmp_path: Path) -> None:
    fill(store, {"Ann 1": (1.0, 0.2), "bob": (0.5, 0.8)}, benchmark="mmstar")
    export_folder(store, "openai-batch", tmp_path / "out", split="test")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ann-1.jsonl", "bob.jsonl"]
    lines = read_lines(tmp_path / "out" / "ann-1.jsonl")
    assert len(lines) == 2 * N
    assert lines[0].custom_id == "mmstar/law-test-0"
    assert lines[0].body["model"] == "org/Ann 1"
    [message] = lines[0].body["messages"]
    assert "law test question 0?" in json.dumps(message)


def test_a_router_sends_each_question_to_its_expert(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (1.0, 0.0), "bob": (0.0, 1.0)})
    train(store, tmp_path)
    path = tmp_path / "out.jsonl"
    exported = export_file(store, "openai-batch", path, router="r")
    lines = read_lines(path)
    assert {(line.custom_id.split("-")[0], line.body["model"]) for line in lines} == {
        ("toy/law", "org/ann"),
        ("toy/math", "org/bob"),
    }
    assert exported.notes == ("toy has no scorer here: its answers cannot be imported",)


def test_log_likelihoods_cannot_be_asked(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (1.0, 0.2)}, benchmark="hellaswag")
    with pytest.raises(UsageError, match="log-likelihoods"):
        export_folder(store, "openai-batch", tmp_path / "out")
    assert not (tmp_path / "out").exists()
