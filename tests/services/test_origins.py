"""A note lists imported scores if others were measured."""

from __future__ import annotations

import pytest

from benchcoe_jobs.services.origins import imported_note
from benchcoe_jobs.store.results.file_origins import ImportedShare

ALL, NONE, SOME = ImportedShare("ann", 5, 5), ImportedShare("bob", 0, 5), ImportedShare("cat", 2, 5)


@pytest.mark.parametrize("shares", [[], [ALL], [ALL, ALL], [NONE]])
def test_no_note_if_all_scores_have_one_origin(shares: list[ImportedShare]) -> None:
    assert imported_note(shares) is None


def test_the_imported_scores_are_listed() -> None:
    note = "imported scores: ann (all 5), cat (2 of 5); the others were measured"
    assert imported_note([ALL, NONE, SOME]) == note
    assert imported_note([SOME]) == "imported scores: cat (2 of 5); the others were measured"
