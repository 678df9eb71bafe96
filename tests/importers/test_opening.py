"""The first members of JSON documents that are cut."""

from __future__ import annotations

import json

import pytest

from benchcoe_jobs.importers.opening import Cut, members, within

DOCUMENT = {"a": {"b": [1, "}"], "c": 'say "x"'}, "d": None, "e": "\u2028", "f": [{"g": 1}]}


@pytest.mark.parametrize("indent", [None, 2])
def test_every_beginning_has_the_members_before_the_cut(indent: int | None) -> None:
    text = json.dumps(DOCUMENT, indent=indent)
    assert members(text) == DOCUMENT
    for end in range(len(text)):
        found = members(text[:end])
        assert list(found) == list(DOCUMENT)[: len(found)]
        assert all(found[name] == DOCUMENT[name] for name in list(found)[:-1])


def test_members_within_a_cut_value() -> None:
    found = members('{"results": {"version": 3, "results": [{"x": 1}, {"y')
    assert isinstance(found["results"], Cut)
    assert within(found["results"])["version"] == 3


@pytest.mark.parametrize("text", ["", "[1]", "1", '{"a" 1}', "{1: 2}", "{]", '{"a":' * 100_000])
def test_what_is_not_an_object_has_no_whole_members(text: str) -> None:
    assert all(isinstance(value, Cut) for value in members(text).values())
