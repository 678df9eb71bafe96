"""The scope of labels and its best single expert, with messages that name the command that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import add_experts, bring

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.labelling.scope import best_single, find_scope, how_to_leave, require_policy
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    """ann is right on half of the queries, bob on all of the few that it has scores for."""
    add_experts(store, ann=1.0, bob=1.0)
    rows = [{"key": f"k{n}", "text": f"{n}?", "subject": "maps", "split": "train", "score": n % 2} for n in range(10)]
    bring(store, tmp_path, "ann", *rows)
    bring(store, tmp_path, "bob", *({**row, "score": 1} for row in rows[:5]))
    return store


def test_a_scope_is_found_by_name(toy: Store) -> None:
    with toy.reading() as connection:
        scope = find_scope(connection, "all", None, "train")
        assert (scope.pool.name, scope.benchmark, scope.split) == ("all", "toy", "train")
        for pool, benchmark, message in (("none", None, "unknown pool 'none'"), ("all", "x", "unknown benchmark 'x'")):
            with pytest.raises(UsageError, match=message):
                find_scope(connection, pool, benchmark, "train")


def test_the_best_single_expert_needs_enough_scores(toy: Store) -> None:
    with toy.reading() as connection:
        assert best_single(connection, find_scope(connection, "all", None, "train")) == "ann"
    with toy.writing() as connection:
        experts.change_pool(connection, "new", add=["bob"])
        scope = find_scope(connection, "new", None, "train")
        message = "no expert of pool 'new' has scores for 95 % of toy, split train"
        with pytest.raises(UsageError, match=f"^no best single expert to compare with or to fall back to: {message}$"):
            best_single(connection, scope)
        with pytest.raises(UsageError, match="no expert of the trial pool has scores"):
            best_single(connection, scope, "the trial pool")


@pytest.mark.parametrize(
    ("pool", "expert", "command"),
    [
        ("all", "ann", "benchcoe-jobs retire ann"),
        ("two of us", "a b", "benchcoe-jobs add-pool 'two of us' --remove 'a b'"),
    ],
)
def test_the_command_that_takes_an_expert_out(pool: str, expert: str, command: str) -> None:
    assert how_to_leave(pool, expert) == f"leave it out: {command}"


def test_policies_are_for_subject_labels() -> None:
    for policy in Policy:
        require_policy(Level.SUBJECT, policy)
    require_policy(Level.QUERY, Policy.BEST)
    with pytest.raises(UsageError, match="policy abstain is for subject labels: omit it, or use --level subject"):
        require_policy(Level.QUERY, Policy.ABSTAIN)
