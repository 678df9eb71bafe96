"""The value of an expert, compared with a calculation by hand and with the pool after the change."""

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


def compare(store: Store, pool: str, **change: list[str]) -> WhatIf:
    return what_if(store, pool=pool, benchmark=None, split="test", **change)


def test_by_hand(toy: Store) -> None:
    found = compare(toy, "two", add=["cat"])
    assert (found.n, found.without_scores, found.trained_on) == (8, 0, "train")
    before, after = found.before, found.after
    assert (before.best_single_expert, before.best_single) == ("ann", 3 / 8)  # 5 of 8 on train, bob has 4
    assert (before.by_subject, before.subject_oracle, before.oracle) == (4 / 8, 4 / 8, 6 / 8)  # maps ann, math bob
    assert (after.best_single_expert, after.by_subject) == ("ann", 4 / 8)  # maps cat, math bob
    assert (after.subject_oracle, after.oracle) == (4 / 8, 7 / 8)
    assert found.change["oracle"]["value"] == pytest.approx(1 / 8)
    assert found.change["oracle"]["low"] == 0 < found.change["oracle"]["high"]
    assert found.change["best_single"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_queries_without_a_score_are_named_with_their_expert(toy: Store, tmp_path: Path) -> None:
    rows = [
        {"key": f"test-math-{n}", "text": f"test math {n}", "subject": "math", "split": "test", "score": 1}
        for n in range(3)
    ]
    train = [
        {"key": f"train-{subject}-{n}", "text": f"train {subject} {n}", "subject": subject, "split": "train"}
        | {"score": 1}
        for subject in ("maps", "math")
        for n in range(4)
    ]
    add_experts(toy, dan=1.0)
    bring(toy, tmp_path, "dan", *rows, *train)
    assert compare(toy, "two", add=["cat"]).gap_note is None
    found = compare(toy, "two", add=["dan"])
    assert (found.n, found.without_scores) == (3, 5)
    said = "5 of 8 queries left out, because an expert has no score there: dan on 5 (maps 4, math 1). "
    assert found.gap_note == f"{said}To compare on all of them, omit --add dan"
    with toy.writing() as connection:
        experts.change_pool(connection, "two", add=["dan"])
    leave = "leave it out: benchcoe-jobs add-pool two --remove dan"
    assert compare(toy, "two", add=["cat"]).gap_note == f"{said}To compare on all of them, {leave}"


def test_the_comparison_is_that_of_the_changed_pool(toy: Store) -> None:
    """Dropping an expert in the comparison, then retiring it, gives the same; the comparison changes nothing."""
    before = pools(toy)
    with_cat = compare(toy, "all", drop=["cat"])
    expected = with_cat.after
    assert pools(toy) == before
    with toy.writing() as connection:
        experts.set_retired(connection, "cat", True)
    assert compare(toy, "all", drop=["bob"]).before == expected
    back = compare(toy, "all", add=["cat"])
    assert back.before == expected
    assert replace(back.after, experts=sorted(back.after.experts)) == with_cat.before
    assert "cat" not in pools(toy)[0]["experts"]  # type: ignore[operator]


def pools(store: Store) -> list[dict[str, object]]:
    with store.reading() as connection:
        return experts.pools(connection)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "--add or --drop"),
        ({"drop": ["cat"]}, "not in pool 'two'"),
        ({"add": ["ann"]}, "is already in pool 'two'"),
        ({"add": ["eve"]}, "unknown expert 'eve'"),
        ({"drop": ["ann", "bob"]}, "would have no expert"),
    ],
)
def test_wrong_changes_are_refused(toy: Store, change: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare(toy, "two", **change)


def test_every_compared_expert_needs_scores(toy: Store) -> None:
    add_experts(toy, eve=1.0)
    with pytest.raises(UsageError, match=r"no query of toy, split test, .*: eve has 0 of 8"):
        compare(toy, "two", add=["eve"])


def test_a_member_without_any_score_is_ignored(toy: Store) -> None:
    before = compare(toy, "all", drop=["cat"])
    add_experts(toy, dan=1.0)
    assert compare(toy, "all", drop=["cat"]) == before
    with pytest.raises(UsageError, match=r"dan has 0 of 8\. Import its missing scores, or leave it out: .* retire dan"):
        compare(toy, "all", drop=["dan"])


def test_a_pool_without_enough_scores_has_no_best_single_expert(toy: Store, tmp_path: Path) -> None:
    """eve has every score on test and one on train, which is too little to win a label."""
    add_experts(toy, eve=1.0)
    rows = [
        {"key": f"test-{subject}-{n}", "subject": subject, "score": 1} for subject in ("maps", "math") for n in range(4)
    ]
    bring(toy, tmp_path, "eve", *rows, {"key": "train-maps-0", "subject": "maps", "score": 1})
    with toy.writing() as connection:
        experts.change_pool(connection, "new", add=["eve", "ann"])
    with pytest.raises(
        UsageError, match=r"no best single expert .*: no expert of pool 'new' with eve has scores for 95 %"
    ):
        compare(toy, "new", drop=["ann"])
