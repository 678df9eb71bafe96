"""Features of pictures are made of few open pictures at a time."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from PIL import Image

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.routers.base import TrainingContext
from benchcoe_jobs.routers.pictures import features, handmade


def drawn(number: int, side: int) -> RouterInput:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (number, 0, 0)).save(file, "PNG")
    return RouterInput("", (), (Picture.of(file.getvalue()),))


def test_large_pictures_are_open_in_smaller_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    encode = handmade.encode

    def counting(images: Sequence[Image.Image]) -> object:
        sizes.append(len(images))
        return encode(images)

    monkeypatch.setattr(handmade, "encode", counting)
    monkeypatch.setattr(features, "_CHUNK_PIXELS", 2_000)
    questions = [*(drawn(number, 10) for number in range(20)), drawn(20, 40), drawn(21, 30), drawn(22, 30)]
    features.find_picture_encoder.cache_clear()
    features.PictureFeatures(TrainingContext()).fit(questions)
    features.find_picture_encoder.cache_clear()
    assert sizes == [16, 5, 2]
