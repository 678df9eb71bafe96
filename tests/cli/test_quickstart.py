"""The command quickstart, with its four models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import tiny_quiz
from console import rows_of

CONSOLE = Path(sys.executable).with_name("benchcoe-jobs")


def start(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [CONSOLE, "quickstart", *words]
    return subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True)


def test_the_quickstart_can_be_repeated(tmp_path: Path) -> None:
    tiny_quiz.require_engine()
    elsewhere = {"BENCHCOE_DATABASE_URL": "sqlite:///elsewhere.db"}
    first = start(tmp_path, **elsewhere)
    assert first.returncode == 0, first.stderr
    assert "$ benchcoe-jobs add-expert historian --engine transformers --model experts/historian" in first.stdout
    store = f"sqlite:///{tmp_path / 'benchcoe-quickstart' / 'benchcoe.db'}"
    responses = rows_of(store)["response"]

    again = start(tmp_path, "--json", **elsewhere)
    assert again.returncode == 0, again.stderr
    assert rows_of(store)["response"] == responses, "no query is asked twice"
    assert list(tmp_path.iterdir()) == [tmp_path / "benchcoe-quickstart"]
    before, after = (json.loads(again.stdout)[when] for when in ("before", "after"))
    assert before["n"] == after["n"] > 200
    assert (before["in_sample"], after["in_sample"]) == (False, False)
    # The experts differ, so routing gains; the newcomer is good at a subject at which no other expert is.
    assert before["accuracy"] > before["best_single"]["accuracy"] + 0.2
    assert after["accuracy"] > before["accuracy"] + 0.05
    assert before["gain"]["low"] > 0
    assert "historian" in after["calls"].keys() - before["calls"].keys()
    for report in (before, after):
        assert f"{100 * report['accuracy']:.1f} %" in first.stdout, "both runs report the same accuracy"


def test_without_torch_it_names_the_extra_to_install(tmp_path: Path) -> None:
    program = (
        "import sys, importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *others: None if name == 'torch' else found(name, *others)\n"
        "from benchcoe_jobs.cli.main import execute\n"
        "sys.exit(execute(['quickstart']))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (4, "", 1)
    assert "pip install 'benchcoe-jobs[engines]'" in ended.stderr
    assert list(tmp_path.iterdir()) == []
