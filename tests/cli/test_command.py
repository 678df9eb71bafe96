"""The parts that all commands share: values in tables, names, and the output of a session."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from benchcoe_jobs.cli.command import MAX_NAME, Session, cell, new_name, table
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.settings import Settings


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (False, "no"), (0.123456, "0.1235"), (["a", 1], "a, 1"), (3, "3"), ("x", "x")],
)
def test_cell(value: Any, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a" * (MAX_NAME + 1)])
def test_names_that_cannot_be_typed_are_rejected(name: str) -> None:
    with pytest.raises(UsageError, match="printable characters"):
        new_name(click.Context(click.Command("x")), click.Argument(["name"]), name)


def test_a_name_that_looks_like_an_option_is_rejected() -> None:
    with pytest.raises(UsageError, match="begins with a hyphen"):
        new_name(click.Context(click.Command("x")), click.Argument(["name"]), "-e")


def test_numbers_are_aligned_right_and_text_left(capsys: pytest.CaptureFixture[str]) -> None:
    table([["ann", "5.0 %"], ["b", "10.0 %"]], ["expert", "mean"])
    *_, first, second = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert first.endswith("  5.0 %")
    assert second.endswith(" 10.0 %")
    assert (first.split()[0], second.split()[0]) == ("ann", "b")
    assert first.index("ann") == second.index("b")


def test_an_empty_list_is_noted_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Session(Settings(), as_json=True, quiet=False).show_list("experts", [])
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == ({"experts": []}, "there are no experts yet\n")


def test_quiet_prints_no_notes(capsys: pytest.CaptureFixture[str]) -> None:
    Session(Settings(), as_json=False, quiet=True).note("hello")
    assert capsys.readouterr().err == ""
