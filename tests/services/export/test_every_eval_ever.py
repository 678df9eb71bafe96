"""Files of every_eval_ever, which its schemas accept.

The schemas are those of every_eval_ever 0.3.0 (MIT, see schemas/LICENSE), whose package needs Python 3.12.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from export_worlds import N, export_folder, fill
from jsonschema import Draft7Validator

from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store

SCHEMAS = Path(__file__).with_name("schemas")

dialect = pytest.fixture(name="dialect")(lambda: "sqlite")


def validator(name: str) -> Draft7Validator:
    return Draft7Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))


def read(folder: Path, expert: str) -> tuple[dict[str, Any], list[dict[str, Any]], Path]:
    """The aggregate and the samples of an expert, and the file of the samples."""
    for path in folder.rglob("*.json"):
        aggregate = json.loads(path.read_text(encoding="utf-8"))
        if aggregate["model_info"]["name"] == expert:
            samples = path.with_name(f"{path.stem}_samples.jsonl")
            return aggregate, [json.loads(line) for line in samples.read_text("utf-8").splitlines()], samples
    raise AssertionError(f"no aggregate of {expert} in {sorted(folder.rglob('*'))}")


def test_both_files_are_valid_and_have_the_right_values(store: Store, tmp_path: Path) -> None:
    rows = [ExpertRow("ann", "recorded"), ExpertRow("bob", "vllm", model="org/Bob-7B")]
    fill(store, {"ann": (1.0, 0.2), "bob": (0.5, 0.8)}, rows=rows)
    folder = tmp_path / "eee"
    assert export_folder(store, "every-eval-ever", folder).figures == {"experts": 2, "scores": 2 * 6 * N}
    aggregates, instances = validator("eval"), validator("instance_level_eval")
    for expert, model, means in (("ann", "ann", (1.0, 0.2)), ("bob", "org/Bob-7B", (0.5, 0.8))):
        aggregate, samples, path = read(folder, expert)
        assert not list(aggregates.iter_errors(aggregate))
        assert not [error.message for sample in samples for error in instances.iter_errors(sample)]
        results = {result["evaluation_name"]: result["score_details"] for result in aggregate["evaluation_results"]}
        for subject, mean in zip(("law", "math"), means, strict=True):
            details = results[f"toy.{subject}"]
            assert details["score"] == pytest.approx(mean)
            assert details["uncertainty"]["num_samples"] == 3 * N
            error = (mean * (1 - mean) / (3 * N - 1)) ** 0.5
            assert details["uncertainty"]["standard_error"]["value"] == pytest.approx(error)
        detailed = aggregate["detailed_evaluation_results"]
        assert detailed["checksum"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert folder / detailed["file_path"] == path
        assert (len(samples), samples[0]["model_id"]) == (6 * N, model)
        assert samples[0]["metadata"] == {"subject": "law", "split": "train"}


def test_the_schemas_refuse_what_they_should(store: Store, tmp_path: Path) -> None:
    """The schemas work: without this, an empty one would accept everything."""
    fill(store, {"ann": (1.0, 0.2)})
    export_folder(store, "every-eval-ever", tmp_path / "eee")
    aggregate, [sample, *_], _ = read(tmp_path / "eee", "ann")
    assert not validator("eval").is_valid(aggregate | {"model_info": {}})
    assert not validator("instance_level_eval").is_valid(sample | {"output": None})
