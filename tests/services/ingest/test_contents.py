"""Contents are compared without what programs write in several ways."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from benchcoe_jobs.domain import Query as DomainQuery
from benchcoe_jobs.services.ingest.contents import agrees, completed, same_content, written

KNOWN = DomainQuery("q", "law", "", answer="A")


def test_what_completes_a_query() -> None:
    whole = DomainQuery("q", "law", "Which?", ("x", "y"), "A")
    assert completed(KNOWN, whole) == whole
    assert completed(DomainQuery("q", "law", "Which?"), whole) == whole
    assert completed(KNOWN, DomainQuery("q", "law", "Which?")) == DomainQuery("q", "law", "Which?", (), "A")
    assert completed(KNOWN, DomainQuery("q", "law", "Which?", answer="B")) is None
    assert completed(DomainQuery("q", "law", "Why?"), whole) is None
    assert completed(DomainQuery("q", "law", "Which?", ("y", "x")), whole) is None
    assert completed(whole, whole) is None


def test_what_was_written_in_another_way_completes_and_what_is_known_stays() -> None:
    known = DomainQuery("q", "law", "Which one?\n", ("x ", "y"))
    row = DomainQuery("q", "law", " Which one?", ("x", "y"), "A")
    assert completed(known, row) == replace(known, answer="A")


CAFE = DomainQuery("q", "law", "Is the caf\u00e9 open?\nOr not?", ("yes", "no"), "A", images=(b"png",))


@pytest.mark.parametrize(
    ("text", "hash_differs"),
    [
        (CAFE.text.replace("\n", "\r\n"), False),
        (CAFE.text.replace("\n", "\r"), False),
        (unicodedata.normalize("NFD", CAFE.text), False),
        (f" {CAFE.text}\n", True),
    ],
)
def test_a_text_is_the_same_in_every_form(text: str, hash_differs: bool) -> None:
    row = replace(CAFE, text=text)
    assert (row.content_hash != CAFE.content_hash) == hash_differs
    assert written(text) == written(CAFE.text)
    stored = replace(CAFE, images=())  # contents are read without images
    for content_hash in (CAFE.content_hash, CAFE.hashed()):
        assert agrees(stored, content_hash, row)
        assert same_content(stored, content_hash, row)
        assert not agrees(stored, content_hash, replace(row, images=(b"other",)))


def test_the_hash_of_a_text_without_anything_to_compose_stays() -> None:
    """The Angstrom sign is in MMLU-Pro: NFC would replace it, and move its questions to other splits."""
    angstrom = DomainQuery("q", "law", "1 \u212b", ("2", "3"), "A")
    assert angstrom.content_hash == angstrom.hashed()
    assert written(angstrom.text) == "1 \u00c5"


@pytest.mark.parametrize(
    "row",
    [
        replace(CAFE, text="Is the caf\u00e9 open?"),
        replace(CAFE, choices=("no", "yes")),
        replace(CAFE, answer="B"),
    ],
)
def test_what_contradicts(row: DomainQuery) -> None:
    assert not agrees(replace(CAFE, images=()), CAFE.content_hash, row)


def test_what_is_unknown_contradicts_nothing_and_is_not_the_same() -> None:
    stored = replace(CAFE, images=())
    for row in (replace(CAFE, answer=None), replace(CAFE, choices=()), replace(CAFE, choices=(), answer=None)):
        assert agrees(stored, CAFE.content_hash, row)
        assert not same_content(stored, CAFE.content_hash, row)
    bare = DomainQuery("q", "law", "Which?")
    assert not same_content(bare, bare.content_hash, bare), "several questions may have this text"
