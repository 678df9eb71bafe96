"""A picture of a question: the SHA-256 of its encoded file, and how to read the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Picture:
    """`sha256` (hex) identifies the encoded file (PNG, JPEG, WebP); `read` returns its bytes.

    Thousands of questions are in memory at once, and their files need not be: what was made of a picture before is
    found by its hash.
    """

    sha256: str
    read: Callable[[], bytes] = field(compare=False, repr=False)

    @classmethod
    def of(cls, file: bytes) -> Picture:
        """The picture of an encoded file in memory."""
        return cls(hashlib.sha256(file).hexdigest(), lambda: file)
