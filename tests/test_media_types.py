"""Media types by the first bytes of a file."""

from __future__ import annotations

import io

import pytest

from benchcoe_jobs.media_types import UNKNOWN, media_type


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_what_pillow_writes(name: str) -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    try:
        image.new("RGB", (4, 4)).save(file, name)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {name}")
    assert media_type(file.getvalue()) == f"image/{name.lower()}"


@pytest.mark.parametrize("content", [b"", b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0\x1cftypisom", b"<svg/>"])
def test_what_is_no_picture(content: bytes) -> None:
    assert media_type(content) == UNKNOWN
