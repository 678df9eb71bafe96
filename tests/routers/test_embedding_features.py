"""Embeddings are encoded once, and an encoder that has changed is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from numpy.typing import NDArray

from benchcoe_jobs.domain import Level, RouterInput
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.routers import artifact, embedding
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.embedding import EmbeddingFeatures
from benchcoe_jobs.routers.encoder import Encoder, find_encoder
from benchcoe_jobs.routers.fine_tuning.transformer import Transformer
from benchcoe_jobs.routers.model import new_trainer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Cache:
    """A cache that raises OSError after `holds` chunks."""

    def __init__(self, holds: float = np.inf) -> None:
        self.kept: dict[str, bytes] = {}
        self.puts = 0
        self.holds = holds

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        return {key: self.kept[key] for key in hashes if key in self.kept}

    def put(self, encoder: str, vectors: dict[str, bytes]) -> None:
        if self.puts >= self.holds:
            raise OSError("the disk is full")
        self.puts += 1
        self.kept |= vectors


def questions_of(*texts: str) -> list[RouterInput]:
    return [RouterInput(text) for text in texts]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were encoded, in order."""
    seen: list[str] = []

    def encode(self: Encoder, questions: Sequence[RouterInput]) -> NDArray[np.float32]:
        texts = [question.whole for question in questions]
        seen.extend(texts)
        return np.array([[len(text), 1, 0] for text in texts], dtype="<f4")

    monkeypatch.setattr(Encoder, "encode", encode)
    return seen


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the files of an encoder, whose weights cannot be loaded."""
    place = tmp_path / "encoder"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"no weights")
    find_encoder.cache_clear()
    yield place
    find_encoder.cache_clear()


def test_no_text_is_encoded_twice(folder: Path, encoded: list[str]) -> None:
    cache = Cache()
    features = EmbeddingFeatures(TrainingContext(str(folder), cache=cache))
    first = features.transform(questions_of("one", "three", "one", "lone \ud800"))
    assert encoded == ["one", "three", "lone \ud800"]
    assert list(first[:, 0]) == [3, 5, 3, 6]
    again = EmbeddingFeatures(TrainingContext(str(folder), cache=cache)).transform(questions_of("three", "seventeen"))
    assert encoded[3:] == ["seventeen"]
    assert list(again[:, 0]) == [5, 9]
    key = hashlib.sha256(b"5 three").hexdigest()
    assert cache.kept[key] == np.array([5, 1, 0], dtype="<f4").tobytes()


def test_a_crash_keeps_the_chunks_before_it(folder: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_CHUNK", 4)
    cache = Cache(holds=2)
    texts = ["x" * length for length in range(10, 0, -1)]
    with pytest.raises(OSError, match="disk is full"):
        EmbeddingFeatures(TrainingContext(str(folder), cache=cache)).transform(questions_of(*texts))
    assert len(cache.kept) == 8
    encoded.clear()
    cache.holds = np.inf
    EmbeddingFeatures(TrainingContext(str(folder), cache=cache)).transform(questions_of(*texts))
    assert encoded == ["x" * 9, "x" * 10]  # the shortest texts are encoded first


def test_a_router_refuses_another_encoder(folder: Path, encoded: list[str], tmp_path: Path) -> None:
    trainer = new_trainer(Level.SUBJECT, "embedding", "linear", TrainingContext(str(folder)))
    model = trainer.fit(("short", "long"), Examples(questions_of("x", "x" * 50), ["short", "long"], np.eye(2)))
    fingerprint = artifact.save(model, tmp_path / "router")
    artifact.load(tmp_path / "router", fingerprint)
    (folder / "config.json").write_text('{"hidden_size": 3}')
    find_encoder.cache_clear()
    with pytest.raises(InputError, match="has changed since the router was trained"):
        artifact.load(tmp_path / "router", fingerprint)


def test_the_fingerprint_covers_the_files_of_the_encoder(folder: Path) -> None:
    before = find_encoder(str(folder), None).fingerprint
    assert before.startswith("sha256:")
    for name, counts in [("README.md", False), ("onnx/model.json", False), ("1_Pooling/config.json", True)]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
        find_encoder.cache_clear()
        assert (find_encoder(str(folder), None).fingerprint != before) is counts


def test_a_hub_encoder_is_pinned_to_its_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = folder.rename(folder.with_name(COMMIT))
    requests = []

    def download(name: str, *, revision: str | None, **patterns: Any) -> str:
        requests.append((name, revision))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    config = EmbeddingFeatures(TrainingContext("owner/name", revision="v1")).config()
    assert config == {"encoder": "owner/name", "revision": COMMIT, "fingerprint": f"owner/name@{COMMIT}"}
    assert EmbeddingFeatures.restore(config, {}, None).config() == config
    assert requests == [("owner/name", "v1"), ("owner/name", COMMIT)]


def test_an_encoder_that_is_not_available_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> str:
        raise OSError("no network\nand a long explanation")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    (folder.parent / "empty").mkdir()
    for name, revision, says in [
        ("owner/name", "v1", r"owner/name@v1 is not in the cache of the hub and cannot be downloaded \(no network\)"),
        ("a b/c", None, "neither an existing folder nor a hub id"),
        ("./no/such/folder", None, r"encoder folder \./no/such/folder is not on this machine: copy it there"),
        ("/no/such/folder", None, "encoder folder /no/such/folder is not on this machine: copy it there"),
        (str(folder.parent / "empty"), None, "holds no safetensors weights"),
        (str(folder), "v1", "only an encoder from the hub has revisions"),
    ]:
        with pytest.raises(InputError, match=says) as refusal:
            find_encoder(name, revision)
        assert "\n" not in str(refusal.value)


def test_missing_packages_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_encoder(str(folder), None)
    for package in ("sentence_transformers", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[routers\]'"):
        found.encode(questions_of("text"))
    with pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[routers\]'"):
        find_encoder("owner/name", None)


@pytest.mark.parametrize("way", ["modules", "auto_map"])
def test_code_of_an_encoder_is_not_run(tiny_encoder: str, tmp_path: Path, way: str) -> None:
    """sentence-transformers runs the code of a folder in releases before 6.0, whatever it is told."""
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    if way == "modules":
        module = {"idx": 0, "name": "0", "path": "", "type": "own.Model"}
        (folder / "modules.json").write_text(json.dumps([module]))
    else:
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "custom", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
        (folder / "config.json").write_text(json.dumps(config))
    found = find_encoder(str(folder), None)
    with pytest.raises(InputError, match="cannot be loaded") as refusal:
        found.encode(questions_of("text"))
    assert "\n" not in str(refusal.value)
    if way == "auto_map":
        with pytest.raises(InputError, match="cannot be loaded"):
            Transformer.open(found)
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_of_a_further_layer_are_refused(folder: Path) -> None:
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match=r"2_Dense/pytorch_model\.bin is pickled: save it as safetensors"):
        find_encoder(str(folder), None)
    (folder / "2_Dense" / "model.safetensors").touch()
    find_encoder.cache_clear()
    find_encoder(str(folder), None)


def test_a_folder_without_an_encoder_is_refused(folder: Path, encoder: str) -> None:
    with pytest.raises(InputError, match="cannot be loaded") as refusal:
        find_encoder(str(folder), None).encode(questions_of("text"))
    assert "\n" not in str(refusal.value)


def test_the_real_encoder(encoder: str, capfd: pytest.CaptureFixture[str]) -> None:
    find_encoder.cache_clear()
    vectors = find_encoder(encoder, None).encode(
        questions_of("a cat", "a kitten", "the stock exchange", "", "a cat " * 20_000)
    )
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.dtype("<f4")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert capfd.readouterr() == ("", "")
