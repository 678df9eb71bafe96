"""The configuration of vLLM semantic-router, which its own program accepts."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_worlds import SECRET, N, endpoint, export_file, fill
from needs import skip_or_fail

from benchcoe_jobs.domain import Policy
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store

# Its validator reads a catalogue of models three times, which takes 20 s with PyYAML's own parser and 2 s with libyaml.
_VALIDATE = """
import sys, yaml
yaml.SafeLoader = yaml.CSafeLoader
from cli.main import main
main(["config", "validate", "--config", sys.argv[1]])
"""

dialect = pytest.fixture(name="dialect")(lambda: "sqlite")


def config_of(store: Store, path: Path, options: dict[str, Any] | None = None, **request: Any) -> dict[str, Any]:
    export_file(store, "vllm-sr", path, options, **request)
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def decisions(config: dict[str, Any]) -> dict[str, str]:
    return {d["name"]: d["modelRefs"][0]["model"] for d in config["routing"]["decisions"]}


def test_each_subject_label_is_a_decision(store: Store, tmp_path: Path) -> None:
    fill(store, {"Ann-1.0": (1.0, 0.2), "Bob": (0.5, 0.8)})
    config = config_of(store, tmp_path / "a.yaml")
    assert decisions(config) == {"law": "ann-1-0", "math": "bob", "best-single": "bob"}
    assert config["providers"]["defaults"] == {"model": "bob"}
    [law, _] = config["routing"]["signals"]["domains"]
    assert law["mmlu_categories"] == ["law"]
    assert law["description"] == f"measured over {N} train queries of toy"
    scores = {score["model"]: score["score"] for score in law["model_scores"]}
    assert scores == {"ann-1-0": 0.999, "bob": 0.5}, "1.0 means that there is no score"
    backend = config["providers"]["models"][0]["backend_refs"][0]
    assert (backend["base_url"], backend["api_key_env"]) == ("http://127.0.0.1:8000/Bob/v1", "SOME_API_KEY")
    assert {r["model"]: r["metrics"]["accuracy"] for r in config["evaluation"]["records"]} == {
        "ann-1-0": 0.6,
        "bob": 0.65,
    }


def test_an_abstained_subject_is_left_to_the_default(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (1.0, 0.45), "bob": (0.1, 0.5)})
    assert decisions(config_of(store, tmp_path / "a.yaml")) == {"law": "ann", "math": "bob", "best-single": "ann"}
    abstaining = config_of(store, tmp_path / "b.yaml", policy=Policy.ABSTAIN)
    assert decisions(abstaining) == {"law": "ann", "best-single": "ann"}


def test_other_subjects_are_mapped(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (1.0, 0.2, 0.9), "bob": (0.5, 0.8, 0.8)}, ("torts", "algebra", "Computer_Science"))
    with pytest.raises(BenchcoeError, match="2 subjects outside of the categories: algebra, torts"):
        config_of(store, tmp_path / "a.yaml")
    both = {"torts": "other", "algebra": "other"}
    config = config_of(store, tmp_path / "a.yaml", {"map": both})
    assert decisions(config) == {"computer-science": "ann", "other": "bob", "best-single": "ann"}, "0.65 against 0.6"
    with pytest.raises(BenchcoeError, match="'maths' is not a category"):
        config_of(store, tmp_path / "b.yaml", {"map": both | {"algebra": "maths"}})
    with pytest.raises(BenchcoeError, match="toy has no subject 'tort'"):
        config_of(store, tmp_path / "b.yaml", {"map": both | {"tort": "law"}})


def test_an_address_is_needed_and_a_secret_is_refused(store: Store, tmp_path: Path) -> None:
    fill(
        store,
        {"ann": (1.0, 0.2), "bob": (0.5, 0.8)},
        rows=[ExpertRow("ann", "recorded"), endpoint("bob", price_in=2.0)],
    )
    path = tmp_path / "a.yaml"
    with pytest.raises(BenchcoeError, match="no address is known of ann: give --endpoints"):
        config_of(store, path)
    for wrong in ({"key_env": SECRET}, {"url": f"http://user:{SECRET}@host/v1"}, {"key": SECRET}, {"url": 1}):
        with pytest.raises(BenchcoeError) as error:
            config_of(store, path, {"endpoints": {"ann": {"url": "http://host/v1"} | wrong}})
        assert SECRET not in str(error.value)
        assert not path.exists()
    config = config_of(store, path, {"endpoints": {"ann": {"url": "http://host/v1", "model": "m"}}})
    [bob, ann] = config["providers"]["models"]
    assert (ann["provider_model_id"], ann["backend_refs"][0]["base_url"]) == ("m", "http://host/v1")
    assert bob["pricing"] == {"currency": "USD", "prompt_per_1m": 2.0}


def test_training_lines(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (1.0, 0.2), "bob": (0.5, 0.8)})
    path = tmp_path / "training.jsonl"
    exported = export_file(store, "vllm-sr", path, {"training": True})
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == exported.figures["lines"] == 2 * 2 * N
    assert lines[0] == {
        "query": "law train question 0?\nyes\nno 0",
        "model_name": "ann",
        "response": "The answer is A. = \x1b[31m",
        "performance": 1.0,
        "response_time": 0.5,
        "category": "law",
        "embedding_id": 0,
    }
    assert len({line["embedding_id"] for line in lines}) == 2 * N
    assert "\x1b" not in path.read_text(encoding="utf-8")


def test_its_own_validator_accepts_real_labels(mmlu_pro_files: list[Path], store: Store, tmp_path: Path) -> None:
    try:
        version("vllm-sr")
    except PackageNotFoundError:
        skip_or_fail("vllm-sr is not installed")
    names = [path.name.removesuffix(".zip") for path in mmlu_pro_files[:3]]
    with store.writing() as connection:
        for name in names:
            experts.add_expert(connection, ExpertRow(name, "recorded"))
    for name, path in zip(names, mmlu_pro_files, strict=False):
        import_results(store, name, path, form="mmlu-pro")
    endpoints = {name: {"url": f"http://127.0.0.1:{8000 + i}/v1"} for i, name in enumerate(names)}
    endpoints[names[0]]["key_env"] = "SOME_API_KEY"
    path = tmp_path / "config.yaml"
    config = config_of(store, path, {"endpoints": endpoints})
    assert len(config["routing"]["decisions"]) == 15
    done = subprocess.run(
        [sys.executable, "-P", "-c", _VALIDATE, str(path)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Decisions: 15" in done.stdout
