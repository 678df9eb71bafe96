"""Router artifacts that release 0.1.0 wrote load, and predict what they predicted there.

`fixtures/release_0_1_0` holds three routers of that release: tfidf of both levels with a fallback, and a fine-tuned
encoder of eight dimensions. `expected.json` has what the release predicted with them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import LearnedFeatures

RELEASE = Path(__file__).parent / "fixtures" / "release_0_1_0"
EXPECTED: dict[str, dict[str, Any]] = json.loads((RELEASE / "expected.json").read_text())
FINGERPRINTS = {
    name: json.loads((RELEASE / name / "router.json").read_text())["sha256"]
    for name in ("tfidf-subject", "tfidf-query", "bert-subject")
}
QUESTIONS = [RouterInput(text) for text in ("what is the drum?", "an apple on a brick", "nothing familiar")]


@pytest.mark.parametrize("name", ["tfidf-subject", "tfidf-query"])
def test_a_router_with_its_fallback(name: str) -> None:
    model = artifact.load(RELEASE / name, FINGERPRINTS[name])
    predictions, familiarity, is_known = model.read(QUESTIONS)
    np.testing.assert_allclose(predictions, EXPECTED[name]["predictions"], rtol=1e-12)
    assert familiarity is not None
    assert is_known.tolist() == [True, True, False]
    np.testing.assert_allclose(familiarity, EXPECTED[name]["familiarity"], rtol=1e-12)
    assert model.fallback is not None
    assert model.fallback.config()["calibration"] == EXPECTED[name]["calibration"]
    assert model.fallback.threshold == EXPECTED[name]["threshold"]


@pytest.mark.parametrize("name", ["tfidf-subject", "tfidf-query"])
def test_saved_again_it_is_the_same_artifact(name: str, tmp_path: Path) -> None:
    loaded = artifact.load(RELEASE / name, FINGERPRINTS[name][:16])
    assert artifact.save(loaded, tmp_path / name) == FINGERPRINTS[name]


def test_a_fine_tuned_encoder_and_its_history(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = artifact.load(RELEASE / "bert-subject", FINGERPRINTS["bert-subject"])
    np.testing.assert_allclose(model.predict(QUESTIONS), EXPECTED["bert-subject"]["predictions"], atol=1e-3)
    assert isinstance(model.features, LearnedFeatures)
    assert model.features.history == EXPECTED["bert-subject"]["history"]
    artifact.save(model, tmp_path / "again")
    config = json.loads((tmp_path / "again" / "router.json").read_text())["features_config"]
    assert config["history"] == EXPECTED["bert-subject"]["history"]
