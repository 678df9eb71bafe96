"""The command quickstart. `make wheel` and `make demo` run it with its real models, which takes minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import plugin_distribution
import pytest
import skilled_engine
import tiny_quiz
from console import Cli, rows_of

from benchcoe_jobs.cli import quickstart


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, in which the experts of the quickstart have an engine without a model."""
    tiny_quiz.require_engine()
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "sqlite:///elsewhere.db")
    plugin_distribution.install(tmp_path, monkeypatch, "skilled", skilled_engine.ENTRY_POINTS)
    monkeypatch.setattr(quickstart, "PER_SUBJECT", 30)
    command = quickstart._Walk._command
    monkeypatch.setattr(
        quickstart._Walk,
        "_command",
        lambda self, *words: command(self, *("skilled" if word == "transformers" else word for word in words)),
    )
    return place


def test_the_quickstart_can_be_repeated(place: Path, cli: Cli) -> None:
    first = cli("quickstart")
    assert first.code == 0, first.err
    assert "$ benchcoe-jobs add-expert historian --engine skilled --model experts/historian" in first.out
    store = f"sqlite:///{place / 'benchcoe-quickstart' / 'benchcoe.db'}"
    responses = rows_of(store)["response"]

    again = cli("quickstart --json")
    assert again.code == 0, again.err
    assert rows_of(store)["response"] == responses, "no query is asked twice"
    assert list(place.iterdir()) == [place / "benchcoe-quickstart"]
    assert "The report is benchcoe-quickstart/report.html: open it in a browser." in first.out
    assert "Routing pays: router by-subject gains" in (place / "benchcoe-quickstart" / "report.html").read_text()
    before, after = (again.json[when] for when in ("before", "after"))
    assert before["n"] == after["n"]
    assert (before["in_sample"], after["in_sample"]) == (False, False)
    assert after["accuracy"] > before["accuracy"] > before["best_single"]["accuracy"]
    assert "historian" in after["calls"].keys() - before["calls"].keys()
    for report in (before, after):
        assert f"{100 * report['accuracy']:.1f} %" in first.out, "both runs report the same accuracy"


def test_with_pictures_a_router_that_looks_follows_one_that_reads(place: Path, cli: Cli) -> None:
    told = cli("quickstart --pictures")
    assert told.code == 0, told.err
    for expert, picture in (("reader", "bars-0"), ("watchmaker", "clocks-0"), ("counter", "dice-0")):
        command = f"--image drawings/{picture}.png 'What number does the picture show?'\n{expert}  (best on"
        assert command in told.out, "the same question about another picture has another expert"
    again = cli("quickstart --pictures --json")
    assert again.code == 0, again.err
    by_text, before, after = (again.json[name] for name in ("by_text", "before", "after"))
    assert by_text["n"] == before["n"] == after["n"]
    assert after["accuracy"] > before["accuracy"] > by_text["accuracy"] > by_text["best_single"]["accuracy"]
    assert "watchmaker" in after["calls"].keys() - before["calls"].keys()
    assert list(place.iterdir()) == [place / "benchcoe-pictures"]


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
