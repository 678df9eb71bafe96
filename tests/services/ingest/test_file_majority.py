"""Which file is the odd one, if files have different contents for the same queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tables import add_experts, bring

from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import QueryVariant

EXPERTS = ("ann", "bob", "cat", "dan")


def rows(wording: str, tokens: int = 0, n: int = 6) -> list[dict[str, Any]]:
    """Questions, the first two of them in a certain wording. `tokens` makes files differ."""
    return [
        {
            "key": f"q{i}",
            "text": f"{wording if i < 2 else 'What'} {i}?",
            "subject": "law",
            "score": i % 2,
            "tokens": tokens,
        }
        for i in range(n)
    ]


@pytest.fixture
def toy(store: Store) -> Store:
    add_experts(store, **dict.fromkeys(EXPERTS))
    return store


def notes(store: Store, folder: Path, expert: str, wording: str) -> list[str]:
    summary = bring(store, folder, expert, *rows(wording, EXPERTS.index(expert)))
    assert len(summary.skipped) in (0, 2)
    return [note for note in summary.notes if "differ" in note]


def test_votes(toy: Store, tmp_path: Path) -> None:
    tied = [
        "2 rows differ from the stored queries; for 2 of them, as many files agree with this one as with the stored "
        "queries"
    ]
    assert notes(toy, tmp_path, "ann", "Old") == []
    assert notes(toy, tmp_path, "bob", "New") == tied
    odd = [
        "2 rows differ from the stored queries; for 2 of them, 2 files agree with this one: the first file, that of "
        "'ann', is the odd one"
    ]
    assert notes(toy, tmp_path, "cat", "New") == odd
    assert notes(toy, tmp_path, "cat", "New") == odd, "the same file again is no further vote"
    assert notes(toy, tmp_path, "dan", "Third") == tied
    with toy.reading() as connection:
        assert len(connection.execute(select(QueryVariant.run_id)).all()) == 6


def test_the_new_file_is_the_odd_one(toy: Store, tmp_path: Path) -> None:
    for expert in ("ann", "bob", "cat"):
        notes(toy, tmp_path, expert, "Old")
    assert notes(toy, tmp_path, "dan", "New") == ["2 rows differ from the stored queries, with which most files agree"]


def test_a_file_of_several_experts_is_one_file(toy: Store, tmp_path: Path) -> None:
    both = [{**row, "expert": expert} for expert in ("ann", "bob") for row in rows("Old")]
    bring(toy, tmp_path, "all", *both)
    notes(toy, tmp_path, "cat", "New")
    [note] = notes(toy, tmp_path, "dan", "New")
    assert note.endswith("2 files agree with this one: the first file, that of 'ann', is the odd one")
