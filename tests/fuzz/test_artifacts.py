"""A router's artifact that was changed, and signed again: it is restored and routes, or is refused in one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import numpy as safetensors

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import new_trainer

QUESTIONS = [RouterInput("apples grow on trees"), RouterInput("trains run on rails")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "router"
    examples = Examples(QUESTIONS, ["fruit", "travel"], np.eye(2))
    model = new_trainer(Level.QUERY, "tfidf", None, TrainingContext()).fit(("first", "second"), examples)
    artifact.save(model, folder)
    return folder


def _signed(folder: Path, content: Any, weights: bytes) -> str:
    """Write an artifact whose sums are right, and return its fingerprint."""
    folder.mkdir(exist_ok=True)
    if isinstance(content, dict):
        content = {name: value for name, value in content.items() if name != "sha256"}
        content["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    written = content | {"sha256": fingerprint} if isinstance(content, dict) else content
    (folder / "router.json").write_text(json.dumps(written))
    (folder / "weights.safetensors").write_bytes(weights)
    return fingerprint


def _route(folder: Path, fingerprint: str) -> None:
    hostile.require_own_errors(lambda: artifact.load(folder, fingerprint).predict(QUESTIONS))


@hostile.fuzzed
@given(data=st.data())
def test_changed_configurations(data: st.DataObject, saved: Path, tmp_path: Path) -> None:
    content = json.loads((saved / "router.json").read_text())
    part = data.draw(st.sampled_from(["features_config", "head_config", "fallback_config", ""]))
    if part and content[part]:
        content[part] = data.draw(hostile.changed(content[part]))
    else:
        content = data.draw(hostile.changed(content))
    weights = (saved / "weights.safetensors").read_bytes()
    _route(tmp_path / "router", _signed(tmp_path / "router", content, weights))


@hostile.fuzzed
@given(data=st.data())
def test_changed_weights(data: st.DataObject, saved: Path, tmp_path: Path) -> None:
    content, weights = json.loads((saved / "router.json").read_text()), (saved / "weights.safetensors").read_bytes()
    if data.draw(st.booleans()):
        weights = data.draw(hostile.damaged(weights))
    else:
        arrays = safetensors.load(weights)
        name = data.draw(st.sampled_from(sorted(arrays)))
        array = arrays.pop(name)
        others = [
            array[:0],
            array[:-1],
            array.T.copy(),
            array.astype("float16"),
            array * np.float32("nan"),
            array[None],
        ]
        if (other := data.draw(st.sampled_from([None, *others]))) is not None:
            arrays[name] = np.ascontiguousarray(other)
        weights = safetensors.save(arrays)
    _route(tmp_path / "router", _signed(tmp_path / "router", content, weights))
