"""Outcomes of trials are stored whole, and only for exactly the trial, data and pool that they belong to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchcoe_jobs.errors import StoreError
from benchcoe_jobs.services.experiments.plan import Protocol, RouterSpec
from benchcoe_jobs.services.experiments.resplit import PoolSpec
from benchcoe_jobs.services.experiments.trials import Outcome, Trial, TrialStore

POOLS = {"two": PoolSpec(("ann", "bob"))}
TRIAL = Trial(Protocol.HELD_OUT_SUBJECTS, "maps", 1, "two", RouterSpec("r"))
OUTCOME = Outcome(TRIAL, {"n": 2, "accuracy": 0.5}, {"k0": 1.0, "k1": -1.0})


def test_an_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    TrialStore(tmp_path, "data", POOLS).write(OUTCOME)
    assert TrialStore(tmp_path, "data", POOLS).read(TRIAL) == OUTCOME
    assert [path.suffix for path in (tmp_path / "trials").iterdir()] == [".json"]


@pytest.mark.parametrize(
    "other",
    [
        replace(TRIAL, seed=2),
        replace(TRIAL, fold="math"),
        replace(TRIAL, protocol=Protocol.HELD_OUT_SOURCES),
        replace(TRIAL, router=RouterSpec("r", max_fallback=1.0)),
    ],
)
def test_another_trial_has_no_outcome(tmp_path: Path, other: Trial) -> None:
    store = TrialStore(tmp_path, "data", POOLS)
    store.write(OUTCOME)
    assert store.read(other) is None


def test_other_data_and_pools_have_no_outcome_but_the_order_of_members_does_not_matter(tmp_path: Path) -> None:
    TrialStore(tmp_path, "data", POOLS).write(OUTCOME)
    assert TrialStore(tmp_path, "other data", POOLS).read(TRIAL) is None
    assert TrialStore(tmp_path, "data", {"two": PoolSpec(("ann", "eve"))}).read(TRIAL) is None
    assert TrialStore(tmp_path, "data", {"two": PoolSpec(("ann", "bob"), 0.5)}).read(TRIAL) is None
    assert TrialStore(tmp_path, "data", {"two": PoolSpec(("bob", "ann"))}).read(TRIAL) == OUTCOME


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    TrialStore(tmp_path, "data", POOLS).write(OUTCOME)
    (tmp_path / "trials" / "torn.new").write_text("{")
    (tmp_path / "trials" / ".abc.json.x1y2").write_text("{")
    (tmp_path / ".resplit-abc").mkdir()
    (tmp_path / ".resplit-abc" / "resplit.db").write_bytes(b"")
    assert TrialStore(tmp_path, "data", POOLS).read(TRIAL) == OUTCOME
    assert [path.name for path in tmp_path.iterdir()] == ["trials"]
    assert [path.suffix for path in (tmp_path / "trials").iterdir()] == [".json"]


def test_a_link_among_what_is_removed_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".resplit-abc").symlink_to(precious)
    TrialStore(out, "data", POOLS)
    assert (precious / "file").exists()
    assert not (out / ".resplit-abc").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b'{"report": 1, "gains": {}}', b"\xff", b"[" * 200_000], ids=range(7)
)
def test_a_damaged_outcome_runs_again(tmp_path: Path, content: bytes) -> None:
    store = TrialStore(tmp_path, "data", POOLS)
    store.write(OUTCOME)
    [file] = (tmp_path / "trials").iterdir()
    file.write_bytes(content)
    assert store.read(TRIAL) is None


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file cannot be written"):
        TrialStore(tmp_path / "file", "data", POOLS)


def test_a_trial_is_named_in_messages() -> None:
    assert str(TRIAL) == "held-out-subjects maps, seed 1, pool two, router r"
    assert str(replace(TRIAL, protocol=Protocol.NAIVE, fold="")) == "naive, seed 1, pool two, router r"
