"""Texts that reach a terminal, and names."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.characters import MAX_NAME, UNSAFE, name_fault, one_line, visible


@given(st.text(st.characters()))
def test_no_control_character_stays(text: str) -> None:
    shown = visible(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in "\n\t"]
    assert not UNSAFE.search(shown)
    assert visible(shown) == shown
    assert "\n" not in one_line(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("a\rb", "a\\x0db"),
        ("caf\u00e9 \u65e5\u672c\u8a9e \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\t\U0001f600", None),
    ],
)
def test_escapes(text: str, shown: str | None) -> None:
    assert visible(text) == (text if shown is None else shown)


def test_lines_are_joined() -> None:
    assert one_line(" a \n b\x1b\n") == "a  b\\x1b"


@pytest.mark.parametrize(
    "name", ["a", "caf\u00e9", "a b", "\u0639\u0644\u0648\u0645\u200c\u067e\u0627\u06cc\u0647", "[red]", "x" * MAX_NAME]
)
def test_names(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a\nb", "a\tb", "a\0", "a\x1b[2J", "a\u202eb", "\ud800", "x" * (MAX_NAME + 1)]
)
def test_texts_that_are_no_names(name: str) -> None:
    assert name_fault(name) == "use 1 to 200 printable characters, without spaces at the ends"
