"""What is not the artifact that the store names is refused, and one is written completely or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import RouterModel, new_trainer
from benchcoe_jobs.routers.tfidf import TfidfFeatures


def _model(flip: bool = False) -> RouterModel:
    questions = [RouterInput("apples grow on trees"), RouterInput("trains run on rails")]
    examples = Examples(questions, ["fruit", "travel"], np.eye(2)[::-1] if flip else np.eye(2))
    return new_trainer(Level.QUERY, "tfidf", None, TrainingContext()).fit(("first", "second"), examples)


APPLES = [RouterInput("apples")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    artifact.save(_model(), tmp_path / "router")
    return tmp_path / "router"


@pytest.fixture(scope="module")
def fingerprint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of the router in `folder`."""
    return artifact.save(_model(), tmp_path_factory.mktemp("routers") / "router")


def _sealed(folder: Path, content: dict[str, Any]) -> str:
    """Write router.json with a right SHA-256 of its own, and return it."""
    content = {name: value for name, value in content.items() if name != "sha256"}
    content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / "router.json").write_text(json.dumps(content))
    return content["sha256"]


def _content(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "router.json").read_text())
    return content


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [Path.unlink, _cut, _flip_a_bit, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["router.json", "weights.safetensors"])
def test_a_damaged_artifact_is_refused(folder: Path, fingerprint: str, name: str, harm: Callable[[Path], Any]) -> None:
    harm(folder / name)
    says = rf"{name} is (damaged|missing); train the router again$"
    with pytest.raises(InputError, match=says) as refusal:
        artifact.load(folder, fingerprint)
    assert "\n" not in str(refusal.value)


def test_what_is_no_regular_file_is_refused_without_waiting(
    folder: Path, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "_MAX_WEIGHTS", 100)
    with pytest.raises(InputError, match=r"weights\.safetensors is larger than 0 MiB"):
        artifact.load(folder, fingerprint)
    (folder / "weights.safetensors").unlink()
    os.mkfifo(folder / "weights.safetensors")
    with pytest.raises(
        InputError, match=r"router artifact .*weights\.safetensors: .* it is not a regular file but a pipe"
    ):
        artifact.load(folder, fingerprint)


def test_a_file_without_permission_is_not_called_damaged(
    folder: Path, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(InputError, match=r"router\.json: cannot be read: Permission denied$"):
        artifact.load(folder, fingerprint)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"outputs": ["second", "first"]}, "router.json is damaged"),
        ({"level": "subject"}, "router.json is damaged"),
        ({"format": 1}, "its format is 1, and this version reads 3"),
    ],
)
def test_an_altered_artifact_is_refused(folder: Path, fingerprint: str, change: dict[str, Any], says: str) -> None:
    path = folder / "router.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=says):
        artifact.load(folder, fingerprint)


@pytest.mark.parametrize("content", ["[]", "3", "{}", "not json", '{"sha256": null}', "[" * 100_000, '"\\ud800"'])
def test_other_content_is_refused(folder: Path, fingerprint: str, content: str) -> None:
    (folder / "router.json").write_text(content)
    with pytest.raises(InputError, match=r"router\.json is damaged"):
        artifact.load(folder, fingerprint)


def test_an_artifact_of_another_machine_is_not_called_lost(tmp_path: Path, fingerprint: str) -> None:
    with pytest.raises(InputError, match="is not on this machine, although the store names it") as refusal:
        artifact.load(tmp_path / "nowhere", fingerprint)
    assert "BENCHCOE_HOME" in str(refusal.value)


@pytest.mark.parametrize("digits", [64, 16])
def test_a_whole_router_in_the_place_of_another_is_refused(folder: Path, fingerprint: str, digits: int) -> None:
    artifact.load(folder, fingerprint[:digits])
    artifact.save(_model(flip=True), folder)
    with pytest.raises(InputError, match="it is another router than the one that the store names"):
        artifact.load(folder, fingerprint[:digits])


@pytest.mark.parametrize("digits", [0, 1, 15, 63])
def test_a_short_fingerprint_proves_nothing(folder: Path, fingerprint: str, digits: int) -> None:
    with pytest.raises(InputError, match="it is another router"):
        artifact.load(folder, fingerprint[:digits])


def test_weights_of_another_router_are_refused(folder: Path, fingerprint: str, tmp_path: Path) -> None:
    artifact.save(_model(flip=True), tmp_path / "other")
    (tmp_path / "other" / "weights.safetensors").rename(folder / "weights.safetensors")
    with pytest.raises(InputError, match=r"weights\.safetensors is damaged"):
        artifact.load(folder, fingerprint)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"level": "galaxy"}, r"router\.json is damaged \(level: Input should be 'query' or 'subject'\)"),
        ({"kind": "oracle"}, "its kind 'oracle' is not installed here"),
        ({"head": "forest"}, "kind tfidf has no query-level head 'forest'"),
        ({"head": None}, r"router\.json is damaged \(head: "),
        ({"outputs": ["first"]}, r"router\.json is damaged \(outputs: "),
        ({"outputs": ["first", "first"]}, "a name occurs twice"),
        ({"outputs": ["first", "second", "third"]}, "its head has 2 outputs, and 3 are named"),
        ({"features_config": {}}, r"its features cannot be restored \(vocabulary: Field required\)"),
        (
            {"features_config": {"vocabulary": ["a"]}},
            r"its features cannot be restored \(idf is float64 \d+, not f 1\)",
        ),
        ({"head_config": {"run": "me"}}, r"its head cannot be restored \(run: Extra inputs are not permitted\)"),
        ({"fallback_config": {}}, r"its fallback cannot be restored \(threshold: Field required\)"),
        ({"weights_sha256": None}, "router.json is damaged|weights.safetensors is damaged"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_each_field_is_validated_even_if_the_sha256_is_right(folder: Path, change: dict[str, Any], says: str) -> None:
    fingerprint = _sealed(folder, _content(folder) | change)
    with pytest.raises(InputError, match=says) as refusal:
        artifact.load(folder, fingerprint)
    assert "\n" not in str(refusal.value)


HEADERS = [b"", b"\x05", b"\xff" * 8, (2**62).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{]"]
HEADERS += [
    len(header).to_bytes(8, "little") + header + bytes(8)
    for header in (
        b"[]",
        b'{"head.weights": 3}',
        b'{"head.weights": {"dtype": "F64", "shape": [99], "data_offsets": [0, 8]}}',
        b'{"head.weights": {"dtype": "F64", "shape": [1], "data_offsets": [8, 0]}}',
        b'{"head.weights": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}',
        b'{"head.weights": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}}',
    )
]


@pytest.mark.parametrize("weights", HEADERS, ids=range(len(HEADERS)))
def test_a_wrong_header_of_the_weights_is_refused(folder: Path, weights: bytes) -> None:
    (folder / "weights.safetensors").write_bytes(weights)
    fingerprint = _sealed(folder, _content(folder) | {"weights_sha256": hashlib.sha256(weights).hexdigest()})
    with pytest.raises(InputError, match="train the router again") as refusal:
        artifact.load(folder, fingerprint)
    assert "\n" not in str(refusal.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_any_change_is_refused_in_one_line_or_predicts(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The SHA-256 sums are made right again, as they would be in a router that another program wrote."""
    folder = tmp_path_factory.mktemp("changed") / "router"
    artifact.save(_model(), folder)
    content = _content(folder)
    for _ in range(data.draw(st.integers(1, 2))):
        inside = data.draw(st.sampled_from([content, content["features_config"]]))
        if inside:
            inside[data.draw(st.sampled_from([*inside]))] = data.draw(JSON)
        if not isinstance(content["features_config"], dict):
            content["features_config"] = {"vocabulary": []}
    if data.draw(st.booleans()):
        weights = bytearray((folder / "weights.safetensors").read_bytes())
        weights[data.draw(st.integers(0, len(weights) - 1))] ^= data.draw(st.integers(1, 255))
        (folder / "weights.safetensors").write_bytes(weights)
        content["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    says = ""
    try:
        model = artifact.load(folder, _sealed(folder, content))
        assert model.predict(APPLES).shape == (1, len(model.outputs))
    except InputError as error:
        says = str(error)
    assert "\n" not in says


def test_features_and_head_that_do_not_fit_are_refused(folder: Path, fingerprint: str) -> None:
    model = artifact.load(folder, fingerprint)
    features = TfidfFeatures(TrainingContext())
    features.fit(APPLES)
    with pytest.raises(InputError, match=r"features have 1 columns, and its head reads \d+: train the router again"):
        replace(model, features=features).predict(APPLES)


def test_only_the_user_may_read_an_artifact(folder: Path) -> None:
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())] == [0o700, 0o600, 0o600]


def test_saving_again_replaces_and_leaves_no_other_files(folder: Path) -> None:
    fingerprint = artifact.save(_model(flip=True), folder)
    assert fingerprint != artifact.save(_model(), folder.parent / "other")
    np.testing.assert_array_equal(artifact.load(folder, fingerprint).predict(APPLES), _model(flip=True).predict(APPLES))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["other", "router"]


def test_a_failed_write_keeps_the_old_router(folder: Path, fingerprint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = artifact.load(folder, fingerprint).predict(APPLES)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifact.save(_model(flip=True), folder)
    np.testing.assert_array_equal(artifact.load(folder, fingerprint).predict(APPLES), before)
    assert [path.name for path in folder.parent.iterdir()] == ["router"]


@pytest.mark.parametrize("harm", [None, Path.unlink, _cut])
def test_a_router_is_placed_where_it_may_be_already(
    folder: Path, fingerprint: str, harm: Callable[[Path], Any] | None
) -> None:
    if harm:
        harm(folder / "weights.safetensors")
    artifact.save(_model(), folder.parent / "staged")
    with (folder / "router.json").open("rb") as reader:
        artifact.place(folder.parent / "staged", folder)
        assert json.loads(reader.read())["sha256"] == fingerprint, "a reader that has begun finds the same"
    artifact.load(folder, fingerprint)
    assert [path.name for path in folder.parent.iterdir()] == ["router"]
