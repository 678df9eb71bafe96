"""The plot of gains has a panel per protocol and a legend of the routers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.services.experiments.gains_plot import plot_gains
from benchcoe_jobs.services.experiments.report import TrialSummary


def row(protocol: str, pool: str, router: str, gain: float) -> TrialSummary:
    return TrialSummary(
        protocol=protocol,
        pool=pool,
        router=router,
        trials=1,
        n=10,
        n_queries=10,
        best_single=0.5,
        accuracy=0.5 + gain,
        subject_oracle=0.8,
        oracle=0.9,
        gain=gain,
        low=gain - 0.1,
        high=gain,
        seeds_low=gain,
        seeds_high=gain,
        in_sample=protocol == "naive",
    )


def test_png_and_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [row("naive", "two", "by subject", 0.2), row("in-distribution", "two", "by subject", 0.1)]
    rows.append(row("in-distribution", "three", "by query", -0.1))  # a router without a trial on every pool
    png, svg = plot_gains(rows, "small", tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text(encoding="utf-8")
    for label in ("naive (in-sample)", "in-distribution", "by subject", "by query", "two", "three", "small"):
        assert label in text
