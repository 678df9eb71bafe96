"""The opener of pictures: what each kind of file shows, and that every engine sees the same pixels."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, features

from benchcoe_jobs import picture_opener
from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines import messages, vllm
from benchcoe_jobs.engines.prompts import Prompter
from benchcoe_jobs.engines.vision import VisionProcessor
from benchcoe_jobs.errors import InputError

Pixels = NDArray[np.uint8]

RAMP = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
COLOURS = np.dstack([RAMP, RAMP[::-1, ::-1], np.full_like(RAMP, 90)])
DEEP = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
TURNED = Image.Exif()
TURNED[0x0112] = 6  # to be shown turned by 90 degrees to the right


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(file: bytes) -> Pixels:
    """As a reader sees them that knows nothing of rotation and transparency."""
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def half_transparent() -> Image.Image:
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[:, :20] = 0
    return Image.fromarray(np.dstack([COLOURS, alpha]))


WHITENED = COLOURS.copy()
WHITENED[:, :20] = 255
COLOUR = Image.fromarray(COLOURS)
PALETTE = COLOUR.quantize(16)
AS_RGB = np.asarray(PALETTE.convert("RGB"))
SECOND = Image.new("RGB", (40, 30))

FILES: dict[str, tuple[bytes, Pixels, bool]] = {
    "png": (encoded(COLOUR, "PNG"), COLOURS, True),
    "grey": (encoded(Image.fromarray(RAMP), "PNG"), np.dstack([RAMP] * 3), True),
    "palette": (encoded(PALETTE, "PNG"), AS_RGB, True),
    "jpeg": (jpeg := encoded(COLOUR, "JPEG"), pixels(jpeg), True),
    "webp": (encoded(COLOUR, "WEBP", lossless=True), COLOURS, True),
    "transparent": (encoded(half_transparent(), "PNG"), WHITENED, False),
    "transparent webp": (encoded(half_transparent(), "WEBP", lossless=True), WHITENED, False),
    "transparent colour": (
        encoded(Image.fromarray(RAMP), "PNG", transparency=0),
        np.dstack([np.where(RAMP == 0, 255, RAMP).astype(np.uint8)] * 3),
        False,
    ),
    "turned jpeg": (encoded(COLOUR, "JPEG", exif=TURNED), np.rot90(pixels(jpeg), -1), False),
    "turned png": (encoded(COLOUR, "PNG", exif=TURNED), np.rot90(COLOURS, -1), False),
    "turned tiff": (encoded(COLOUR, "TIFF", exif=TURNED), np.rot90(COLOURS, -1), False),
    "16 bits": (encoded(Image.fromarray(DEEP), "PNG"), np.dstack([(DEEP >> 8).astype(np.uint8)] * 3), False),
    "16 bits tiff": (encoded(Image.fromarray(DEEP), "TIFF"), np.dstack([(DEEP >> 8).astype(np.uint8)] * 3), False),
    "bmp": (encoded(COLOUR, "BMP"), COLOURS, False),
    "tiff": (encoded(COLOUR, "TIFF", compression="tiff_lzw"), COLOURS, False),
    "animation": (encoded(PALETTE, "GIF", save_all=True, append_images=[SECOND]), AS_RGB, False),
    "print colours": (cmyk := encoded(COLOUR.convert("CMYK"), "JPEG"), pixels(cmyk), False),
    "damaged EXIF": (encoded(COLOUR, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff"), COLOURS, True),
}
if features.check("avif"):
    FILES["avif"] = (avif := encoded(COLOUR, "AVIF"), pixels(avif), False)


class Recorder:
    """In the place of a processor: it keeps the pictures that it is given."""

    def __init__(self) -> None:
        self.tokenizer = SimpleNamespace(pad_token="x", padding_side="right")  # noqa: S106  (a token of text)
        self.image_processor = self
        self.seen: list[Pixels] = []

    def apply_chat_template(self, conversations: list[Any], **_: Any) -> dict[str, Any]:
        parts = [part for message in conversations[0] for part in message["content"]]
        self.seen = [np.asarray(part["image"]) for part in parts if part["type"] == "image"]
        ids = torch.ones((1, len(parts)), dtype=torch.long)
        return {"input_ids": ids, "attention_mask": ids}


@pytest.mark.parametrize("name", FILES)
def test_every_engine_sees_the_same_pixels(name: str) -> None:
    file, expected, _ = FILES[name]
    request = Request("Look", images=(file,))
    recorder = Recorder()
    VisionProcessor(recorder, Prompter(None, 100)).prepare({0: request}, Decoding(8))
    [by_vllm] = vllm._opened(request).images
    kind, sent = picture_opener.sent_file(file)
    seen = {"transformers": recorder.seen[0], "vllm": np.asarray(by_vllm["image_pil"]), "openai": pixels(sent)}
    for engine, shown in seen.items():
        assert np.array_equal(shown, expected), engine
    [part] = messages.sent_images(request)
    assert part["image_url"]["url"].startswith(f"data:{kind};base64,")


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sent_as_it_is_if_every_reader_sees_the_same(name: str) -> None:
    file, _, is_plain = FILES[name]
    assert (picture_opener.sent_file(file)[1] == file) == is_plain


@pytest.fixture(scope="module")
def too_large() -> dict[str, bytes]:
    """Pictures of 54 and of 190 million pixels. Pillow itself refuses the second."""
    return {
        "9,000 x 6,000 pixels": encoded(Image.new("1", (9000, 6000)), "PNG"),
        "more pixels": encoded(Image.new("1", (19_000, 10_000)), "PNG"),
    }


@pytest.mark.parametrize("words", ["9,000 x 6,000 pixels", "more pixels"])
@pytest.mark.parametrize("reads", [picture_opener.open_image, picture_opener.n_pixels, picture_opener.sent_file])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_has_at_most_50_million_pixels(too_large: dict[str, bytes], words: str, reads: Any) -> None:
    with pytest.raises(InputError, match=f"{words}.*at most 50 million are opened"):
        reads(too_large[words])


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"<svg/>", "none of PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of PNG"),
        (jpeg[:-20], "truncated"),
        (encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), "32 bits, of which no value is white"),
    ],
)
def test_what_cannot_be_decoded(file: bytes, words: str) -> None:
    with pytest.raises(InputError, match=f"an image cannot be decoded: .*{words}"):
        picture_opener.open_image(file)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_short_is_found_without_an_engine(name: str) -> None:
    file = FILES[name][0]
    picture_opener.require_whole(file)
    picture_opener.require_whole(file + b"what another program wrote behind it")
    with pytest.raises(InputError, match="an image cannot be decoded"):
        picture_opener.require_whole(file[: len(file) * 2 // 3])
