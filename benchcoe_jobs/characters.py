"""Characters: what is safe on a terminal, and what names consist of. Standard library only.

Texts come from result files, endpoints and libraries. On a terminal, control characters in them could move the cursor,
change its title or hide other text, and the controls of writing direction could reorder a line.
"""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 200
"""Characters in the name of an expert, a pool, a benchmark, a subject, a router or a query."""

# C0 and C1 control characters but tab and line feed, the line separators, the overrides of writing direction, and lone
# surrogates, which come from file names that are not valid UTF-8.
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text with unsafe characters written as escapes, such as \x1b. Line feeds and tabs stay."""
    return UNSAFE.sub(lambda found: _escape(ord(found[0])), text)


def one_line(text: str) -> str:
    """The text as `visible` gives it, with its lines joined by spaces."""
    return " ".join(line.rstrip() for line in visible(text).split("\n")).strip()


def json_safe(text: str) -> str:
    r"""A JSON text with its unsafe characters as \uXXXX, which is the same value. JSON has them in strings only."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def name_fault(name: str) -> str | None:
    """Why a text cannot be the name of a subject or a key, as the end of a message; None if it can be."""
    has_control = UNSAFE.search(name) or "\n" in name or "\t" in name
    if has_control or name != name.strip() or not 0 < len(name) <= MAX_NAME:
        return f"use 1 to {MAX_NAME} printable characters, without spaces at the ends"
    return None


def new_name_fault(name: str) -> str | None:
    """Why a text cannot be the name of a new object, which commands take as an argument; None if it can be."""
    if name.startswith("-"):
        return "a name that begins with a hyphen would be taken for an option"
    return name_fault(name)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def same_characters(text: str) -> str:
    """A text with line feeds as line ends, and with letters and accents composed (Unicode NFC).

    Programs write these in several ways. A text in which nothing is composed is not changed by NFC: questions that are
    stored since earlier releases keep their hashes, and with them their splits.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    return composed if len(composed) < len(text) else text
