"""A bert router on the command line: training, continuation after a kill, routing, extension."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from console import Cli
from synthetic import COSTS, NEWCOMER, STARTERS, write_results

from benchcoe_jobs.routers.fine_tuning.transformer import PACKAGES

pytestmark = pytest.mark.skipif(
    not os.environ.get("CI") and any(find_spec(package) is None for package in PACKAGES),
    reason="the extra routers is not installed",
)

TRAIN = "train-router tuned --kind bert --encoder encoder --level"

KILLED = """
import os, signal, sys
from benchcoe_jobs.cli.main import execute
from benchcoe_jobs.routers.fine_tuning import hf_trainer

save = hf_trainer.CheckpointCallback.on_save

def kill(self, args, state, control, **rest):
    save(self, args, state, control, **rest)
    os.kill(os.getpid(), signal.SIGKILL)

hf_trainer.CheckpointCallback.on_save = kill
execute(sys.argv[1:])
"""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, tiny_encoder: str) -> Cli:
    """A folder with three experts, their results, and an encoder."""
    monkeypatch.chdir(tmp_path)
    write_results(STARTERS, Path("starters.jsonl"))
    write_results([NEWCOMER], Path("newcomer.jsonl"))
    assert cli("init").code == 0
    for name in STARTERS:
        assert cli(f"add-expert {name} --engine recorded --cost {COSTS[name]}").code == 0
    assert cli("import-results all starters.jsonl").code == 0
    Path("encoder").symlink_to(tiny_encoder)
    return cli


def test_a_killed_training_continues_and_the_router_routes(session: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *f"{TRAIN} subject".split()], capture_output=True, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL
    scratch = Path(".benchcoe/routers/tuned/.scratch")
    [checkpoint] = scratch.glob("*/*/checkpoint-*")
    assert session("routers --json").json["routers"] == []

    from benchcoe_jobs.routers.fine_tuning import tuning

    found, last_complete = [], tuning.last_complete_checkpoint
    monkeypatch.setattr(
        tuning, "last_complete_checkpoint", lambda folder: found.append(last_complete(folder)) or found[-1]
    )

    trained = session(f"{TRAIN} subject --json").json

    assert found == [str(checkpoint.resolve())]
    assert not scratch.exists(), "checkpoints are removed when the router is registered"
    validated = [point for point in trained["history"] if "validation_loss" in point]
    assert [point["epoch"] for point in validated] == list(range(len(validated)))
    assert max(point["validation_accuracy"] for point in validated) > 0.9
    assert min(point["loss"] for point in trained["history"] if "loss" in point) > 0
    assert trained["fallback"]["n"] < trained["n"] / 3, "calibrated on the validation split"
    report = session("evaluate tuned --json").json
    assert report["gain"]["value"] > 0
    assert report["warnings"] == []
    assert "kept the epoch that was best" in session("evaluate tuned --split validation --json").json["warnings"][0]
    assert session("route 'Spell candle backwards.' --no-fallback --json").json["subject"] == "spelling"


def test_a_query_level_router_is_extended_with_a_newcomer(session: Cli) -> None:
    trained = session(f"{TRAIN} query")
    assert trained.code == 0
    assert "validation loss" in trained.err
    before = session("route 'Spell candle backwards.' --no-fallback --json").json
    assert session(f"add-expert {NEWCOMER} --engine recorded").code == 0
    assert session("import-results all newcomer.jsonl").code == 0
    extended = session("train-router tuned --extend --json").json
    assert extended["new_outputs"] == [NEWCOMER]
    assert session("route 'Spell candle backwards.' --no-fallback --json").json["expert"] == before["expert"]
    late = session("route 'Which date is 9 days after 3 May?' --no-fallback --json").json
    assert late["expert"] == NEWCOMER
