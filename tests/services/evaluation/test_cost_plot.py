"""The plot of accuracy against cost: files that are refused, and the same bytes for the same picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchcoe_jobs.errors import InputError, MissingError, UsageError
from benchcoe_jobs.services.evaluation import cost_plot
from benchcoe_jobs.services.evaluation.cost_curve import CostReport, Point
from benchcoe_jobs.services.evaluation.cost_plot import plot_costs, require_plot

ENDS = [Point("ann", 1.0, 0.25), Point("bob", 5.0, 0.75)]
REPORT = CostReport(Point("r", 3.0, 0.7), *ENDS, Point("50 % bob, else ann", 3.0, 0.5), 0.2, 0.5, ENDS)
needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs the extra plots")


def test_what_cannot_be_drawn_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"end its name with \.png or \.svg"):
        require_plot(tmp_path / "costs.pdf")
    with pytest.raises(UsageError, match=r"folder .*none does not exist"):
        require_plot(tmp_path / "none" / "costs.png")
    monkeypatch.setattr(cost_plot, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[plots\]'"):
        require_plot(tmp_path / "costs.png")


@needs_matplotlib
def test_the_same_picture_has_the_same_bytes_and_names_the_experts(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "c.png"):
        plot_costs(REPORT, "r on toy", tmp_path / name)
    first = (tmp_path / "a.svg").read_text()
    assert first == (tmp_path / "b.svg").read_text()
    for words in ("r on toy", "cheapest: ann", "best single: bob", "cost per query", "random mixes of experts"):
        assert words in first
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@needs_matplotlib
def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "costs.png").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        plot_costs(REPORT, "", tmp_path / "costs.png")
