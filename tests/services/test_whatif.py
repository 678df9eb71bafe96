"""An expert's worth, small enough to be done by hand, and the same as if it had been done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tables import add_experts, bring

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.whatif import WhatIf, what_if
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

# expert -> split -> the scores on its maps and on its math queries
SCORES = {
    "ann": {"train": ([1, 1, 1, 0], [0, 0, 1, 1]), "test": ([1, 1, 0, 0], [1, 0, 0, 0])},
    "bob": {"train": ([0, 0, 0, 0], [1, 1, 1, 1]), "test": ([0, 0, 1, 0], [0, 1, 1, 0])},
    "cat": {"train": ([1, 1, 1, 1], [0, 0, 0, 0]), "test": ([0, 0, 1, 1], [0, 0, 0, 0])},
}


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    add_experts(store, **dict.fromkeys(SCORES, 1.0))
    for expert, by_split in SCORES.items():
        rows: list[dict[str, Any]] = [
            {"key": f"{split}-{subject}-{n}", "text": f"{split} {subject} {n}", "subject": subject, "split": split}
            | {"score": score}
            for split, by_subject in by_split.items()
            for subject, scores in zip(("maps", "math"), by_subject, strict=True)
            for n, score in enumerate(scores)
        ]
        bring(store, tmp_path, expert, *rows)
    with store.writing() as connection:
        experts.change_pool(connection, "two", add=["ann", "bob"])
    return store


def asked(store: Store, pool: str, **change: list[str]) -> WhatIf:
    return what_if(store, pool=pool, benchmark=None, split="test", **change)


def test_by_hand(toy: Store) -> None:
    found = asked(toy, "two", add=["cat"])
    assert (found.n, found.without_scores, found.trained_on) == (8, 0, "train")
    was, would_be = found.before, found.after
    assert (was.best_single_expert, was.best_single) == ("ann", 3 / 8)  # 5 of 8 on train, bob has 4
    assert (was.by_subject, was.subject_oracle, was.oracle) == (4 / 8, 4 / 8, 6 / 8)  # maps ann, math bob
    assert (would_be.best_single_expert, would_be.by_subject) == ("ann", 4 / 8)  # maps cat, math bob
    assert (would_be.subject_oracle, would_be.oracle) == (4 / 8, 7 / 8)
    assert found.change["oracle"]["value"] == pytest.approx(1 / 8)
    assert found.change["oracle"]["low"] == 0 < found.change["oracle"]["high"]
    assert found.change["best_single"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_pool_is_worth_what_it_would_be(toy: Store) -> None:
    """Dropping in thought, then in truth; and the thought left no trace."""
    before = pools(toy)
    with_cat = asked(toy, "all", drop=["cat"])
    thought = with_cat.after
    assert pools(toy) == before
    with toy.writing() as connection:
        experts.set_retired(connection, "cat", True)
    assert asked(toy, "all", drop=["bob"]).before == thought
    back = asked(toy, "all", add=["cat"])
    assert back.before == thought
    assert replace(back.after, experts=sorted(back.after.experts)) == with_cat.before
    assert "cat" not in pools(toy)[0]["experts"]  # type: ignore[operator]


def pools(store: Store) -> list[dict[str, object]]:
    with store.reading() as connection:
        return experts.pools(connection)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "--add or to --drop"),
        ({"drop": ["cat"]}, "not in pool 'two'"),
        ({"add": ["ann"]}, "in pool 'two' already"),
        ({"add": ["eve"]}, "unknown expert 'eve'"),
        ({"drop": ["ann", "bob"]}, "would be empty"),
    ],
)
def test_what_cannot_be_asked(toy: Store, change: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        asked(toy, "two", **change)


def test_a_comparison_needs_the_scores_of_all(toy: Store) -> None:
    add_experts(toy, eve=1.0)
    with pytest.raises(UsageError, match=r"no query of toy, split test, .*: eve has 0 of 8"):
        asked(toy, "two", add=["eve"])


def test_who_has_no_score_yet_stands_in_nobodys_way(toy: Store) -> None:
    before = asked(toy, "all", drop=["cat"])
    add_experts(toy, dan=1.0)
    assert asked(toy, "all", drop=["cat"]) == before
    with pytest.raises(UsageError, match=r"dan has 0 of 8\. Import what is missing, or leave it out: .* retire dan"):
        asked(toy, "all", drop=["dan"])
