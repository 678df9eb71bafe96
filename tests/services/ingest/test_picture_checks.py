"""Broken, oversized and missing pictures are found when a benchmark is added, with the number of the row."""

from __future__ import annotations

import builtins
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.ingest.result_import import ImportSummary
from benchcoe_jobs.store.session import Store


def png(width: int, height: int) -> bytes:
    """A PNG file of this size whose pixels are missing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    (tmp_path / "good.png").write_bytes(file.getvalue())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
    (tmp_path / "huge.png").write_bytes(png(10_000, 5_001))
    return tmp_path


def added(store: Store, folder: Path, *rows: dict[str, Any]) -> ImportSummary:
    path = folder / "queries.jsonl"
    path.write_text("\n".join(json.dumps({"subject": "maps"} | row) for row in rows))
    return add_benchmark(store, "toy", path)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_picture_that_cannot_be_opened_skips_its_row(store: Store, folder: Path) -> None:
    summary = added(
        store,
        folder,
        {"key": "a", "text": "One?", "images": ["good.png"]},
        {"key": "b", "text": "Two?", "images": ["good.png", "broken.png"]},
        {"key": "c", "text": "Three?", "images": ["huge.png"]},
        {"key": "d", "text": "Four?", "images": ["none.png"]},
    )
    assert summary.new_queries == 1
    reasons = {row.line: row.reason for row in summary.skipped}
    assert sorted(reasons) == [2, 3, 4]
    assert reasons[2].startswith("query 'b': picture 2: an image cannot be decoded")
    assert reasons[3].startswith("query 'c': picture 1: an image has 10,000 x 5,001 pixels")
    assert reasons[4].startswith("images: picture 1: ")


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_picture_that_a_text_names_and_that_is_missing_is_noted(store: Store, folder: Path) -> None:
    summary = added(
        store,
        folder,
        {"key": "a", "text": "What is <image 1>?", "images": ["good.png"]},
        {"key": "b", "text": "Which of these?", "choices": ["<image 1>", "<image 2>"], "images": ["good.png"]},
        {"key": "c", "text": "What is <image 1>?"},
    )
    assert summary.notes == ["2 queries name a picture that the row does not have, such as 'b'"]


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_without_pillow_pictures_are_stored_unchecked(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_pillow(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "PIL":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    summary = added(store, folder, {"key": "a", "text": "One?", "images": ["broken.png"]})
    assert (summary.new_queries, len(summary.notes)) == (1, 1)
    assert summary.notes[0].startswith("1 picture was not checked, which needs Pillow: ")
