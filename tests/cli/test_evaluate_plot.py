"""The option evaluate --plot."""

from __future__ import annotations

from pathlib import Path

import pytest
from console import Cli
from synthetic import COSTS, NEWCOMER, STARTERS, write_results

pytest.importorskip("matplotlib")


@pytest.fixture
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Cli:
    """A store in the current folder with experts that have costs, and a router `r`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "sqlite:///benchcoe.db")
    write_results(STARTERS, Path("results.jsonl"))
    lines = [
        "init",
        *(f"add-expert {name} --engine recorded --cost {COSTS[name]}" for name in STARTERS),
        "import-results all results.jsonl",
        "train-router r",
    ]
    for line in lines:
        assert cli(line).code == 0, line
    return cli


def test_accuracy_against_cost_is_drawn(priced: Cli) -> None:
    for file, start in (("costs.png", b"\x89PNG"), ("costs.svg", b"<?xml")):
        ended = priced(f"evaluate r --plot {file}")
        assert ended.code == 0, ended.err
        assert Path(file).read_bytes().startswith(start)
    drawn = Path("costs.svg").read_text(encoding="utf-8")
    axes, named = ["cost per query", "accuracy, %"], ["best single: ", "cheapest: ", "random mixes"]
    for words in [*axes, *named, "r on synthetic, split test"]:
        assert words in drawn, words
    priced("evaluate r --plot again.svg")
    assert Path("again.svg").read_text(encoding="utf-8") == drawn


@pytest.mark.parametrize(
    ("file", "message"), [("costs.pdf", ".png or .svg"), ("none/costs.png", "folder none does not exist")]
)
def test_an_invalid_plot_file_is_rejected_before_the_evaluation(priced: Cli, file: str, message: str) -> None:
    ended = priced(f"evaluate r --plot {file}")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_without_costs_the_report_is_printed_and_no_plot_is_drawn(priced: Cli) -> None:
    assert priced(f"add-expert {NEWCOMER} --engine recorded").code == 0
    write_results([NEWCOMER], Path("free.jsonl"))
    assert priced(f"import-results {NEWCOMER} free.jsonl").code == 0
    ended = priced("evaluate r --plot costs.png")
    assert (ended.code, "Gain over the best single" in ended.out) == (2, True)
    assert "a cost of every expert" in ended.err
    assert not Path("costs.png").exists()
