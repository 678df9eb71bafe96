"""An incomplete artifact is refused, and an artifact is written completely or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import RouterModel, new_trainer


def _model(flip: bool = False) -> RouterModel:
    questions = [RouterInput("apples grow on trees"), RouterInput("trains run on rails")]
    examples = Examples(questions, ["fruit", "travel"], np.eye(2)[::-1] if flip else np.eye(2))
    return new_trainer(Level.QUERY, "tfidf", None, TrainingContext()).fit(("first", "second"), examples)


APPLES = [RouterInput("apples")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    artifact.save(_model(), tmp_path / "router")
    return tmp_path / "router"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [Path.unlink, _cut, _flip_a_bit, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["router.json", "weights.safetensors"])
def test_a_damaged_artifact_is_refused(folder: Path, name: str, harm: Callable[[Path], Any]) -> None:
    harm(folder / name)
    with pytest.raises(InputError, match=rf"{name} (is damaged|cannot be read); train the router again") as refusal:
        artifact.load(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"outputs": ["second", "first"]}, "router.json is damaged"),
        ({"level": "subject"}, "router.json is damaged"),
        ({"format": 1}, "its format is 1, and this version reads 3"),
    ],
)
def test_an_altered_artifact_is_refused(folder: Path, change: dict[str, Any], says: str) -> None:
    path = folder / "router.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=says):
        artifact.load(folder)


@pytest.mark.parametrize("content", ["[]", "3", "{}", "not json", '{"sha256": null}'])
def test_other_content_is_refused(folder: Path, content: str) -> None:
    (folder / "router.json").write_text(content)
    with pytest.raises(InputError, match=r"router\.json is damaged"):
        artifact.load(folder)


def test_a_missing_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"router\.json cannot be read; train the router again"):
        artifact.load(tmp_path / "nowhere")


def test_weights_of_another_router_are_refused(folder: Path, tmp_path: Path) -> None:
    artifact.save(_model(flip=True), tmp_path / "other")
    (tmp_path / "other" / "weights.safetensors").rename(folder / "weights.safetensors")
    with pytest.raises(InputError, match=r"weights\.safetensors is damaged"):
        artifact.load(folder)


def test_saving_again_replaces_and_leaves_no_other_files(folder: Path) -> None:
    fingerprint = artifact.save(_model(flip=True), folder)
    assert fingerprint != artifact.save(_model(), folder.parent / "other")
    np.testing.assert_array_equal(artifact.load(folder).predict(APPLES), _model(flip=True).predict(APPLES))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["other", "router"]


def test_a_failed_write_keeps_the_old_router(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = artifact.load(folder).predict(APPLES)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifact.save(_model(flip=True), folder)
    np.testing.assert_array_equal(artifact.load(folder).predict(APPLES), before)
    assert [path.name for path in folder.parent.iterdir()] == ["router"]
