"""Open encoded pictures: the same pixels for every engine and router, whatever the file says about them.

Libraries disagree about files with transparency, a rotation in their EXIF data, 16 bits or several frames: some apply
what the file says, others ignore it. Local engines therefore get the pixels of `open_image`, and endpoints a file that
shows the same ones (`sent_file`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.masking import first_line

if TYPE_CHECKING:
    from PIL import Image

OPENER = 1
"""The version of the rules by which files become pixels. It is part of the fingerprint of a run about pictures."""

MOST_PIXELS = 50_000_000
"""Of one picture: 150 MB once it is open. A scanned page of A4 at 600 dpi has 35 million."""

# Pillow reads more formats, some of them with other programs (Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# What endpoints take, by Pillow's name of the format. MPO is the JPEG of a camera with a second, smaller picture.
_SENT_AS_THEY_ARE = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
}

_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "GIF": b"\x3b"}
"""How a whole file of a format ends, by Pillow's name of the format. Some programs write more after it."""

_ORIENTATION = 0x0112
_UPRIGHT = 1


def open_image(encoded: bytes) -> Image.Image:
    """An encoded picture as RGB pixels of 8 bits.

    It is turned as its EXIF data say, what is transparent is white, 16 bits become the upper 8, and of several
    frames it is the first. Colour profiles are not applied. Raises InputError if it cannot be decoded or has more
    than `MOST_PIXELS`, MissingError without Pillow.
    """
    with _opened(encoded) as image:
        image.load()
        return _as_rgb(_upright(image))


def n_pixels(encoded: bytes) -> int:
    """The number of pixels of an encoded picture, from its header. Raises as `open_image` does."""
    with _opened(encoded) as image:
        return image.width * image.height


def require_whole(encoded: bytes) -> None:
    """Raise as `open_image` does, for a file that is cut short too.

    Only a file that does not end as its format does is decoded, because decoding takes longer than storing. A file
    that is damaged in its middle is found when it is used.
    """
    with _opened(encoded) as image:
        end = _ENDS.get(str(image.format))
        if end is None or not encoded.endswith(end):
            image.load()


def sent_file(encoded: bytes) -> tuple[str, bytes]:
    """The media type and the content of a file that shows every reader the pixels of `open_image`.

    It is the file itself, unless readers could disagree about it or endpoints do not take its format: then it is a
    PNG of the pixels. Raises as `open_image` does.
    """
    with _opened(encoded) as image:
        image.load()
        kind = _SENT_AS_THEY_ARE.get(str(image.format))
        if kind is not None and _is_plain(image, encoded):
            return kind, encoded
        file = io.BytesIO()
        _as_rgb(_upright(image)).save(file, "PNG")
    return "image/png", file.getvalue()


def formats() -> list[str]:
    """The formats that are opened, by Pillow's names: those of ours that the installed Pillow reads."""
    from PIL import Image

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


@contextmanager
def _opened(encoded: bytes) -> Iterator[Image.Image]:
    """The picture with its header read; errors of Pillow, also those inside the block, become an InputError."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingError("images need Pillow: pip install 'benchcoe-jobs[endpoints]'") from error
    known = formats()
    try:
        with Image.open(io.BytesIO(encoded), formats=known) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(_too_large(f"{image.width:,} x {image.height:,} pixels"))
            yield image
    except InputError:
        raise
    except UnidentifiedImageError as error:  # its message is only the address of an object
        raise InputError(f"an image cannot be decoded: it is none of {', '.join(known)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # both far above the limit
        raise InputError(_too_large("far more pixels")) from error
    except Exception as error:  # Pillow raises many types
        raise InputError(f"an image cannot be decoded: {first_line(error)}") from error


def _too_large(size: str) -> str:
    return f"an image has {size}, and at most {MOST_PIXELS // 1_000_000} million are opened: store a smaller copy"


def _is_plain(image: Image.Image, encoded: bytes) -> bool:
    """Whether every reader sees the same pixels in a file: no rotation, transparency, other frame, or deeper colour."""
    has_16_bits = image.format == "PNG" and encoded[24] == 16  # the bit depth in the header; Pillow's mode hides it
    is_animated = image.format != "MPO" and getattr(image, "is_animated", False)
    return (
        image.mode in ("1", "L", "P", "RGB")
        and not (has_16_bits or is_animated or image.has_transparency_data)
        and _orientation(image) == _UPRIGHT
    )


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, _UPRIGHT)
    except Exception:  # damaged EXIF data, of which Pillow raises many types, turn nothing
        return _UPRIGHT
    return found if found in range(1, 9) else _UPRIGHT


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return image if _orientation(image) == _UPRIGHT else ImageOps.exif_transpose(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode in ("I", "F"):
        raise InputError("an image cannot be decoded: its pixels are numbers of 32 bits, of which no value is white")
    if image.mode.startswith("I;16"):
        import numpy as np

        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
