"""The media types of encoded pictures, by the first bytes of their files. Standard library only."""

from __future__ import annotations

UNKNOWN = "application/octet-stream"
"""The media type of bytes that are no known picture format."""

_STARTS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}


def media_type(encoded: bytes) -> str:
    """The media type of an encoded picture: PNG, JPEG, GIF, BMP, TIFF, WebP or AVIF; UNKNOWN for anything else."""
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "image/webp"
    if encoded[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return next((name for start, name in _STARTS.items() if encoded.startswith(start)), UNKNOWN)
