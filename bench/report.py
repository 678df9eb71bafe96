"""The report of the 12 published MMLU-Pro files: its first sentence against bench/routing.py, its size and its time.

    OMP_NUM_THREADS=1 python bench/report.py STORE_FOLDER [--out report.html]

STORE_FOLDER is a folder that bench/mmlu_pro.py --store made. Trains and evaluates the default router without a fallback
there, and writes the report. The gain in its first sentence is compared with that of bench/routing.py on the same
split. The time of the page is compared with that of matplotlib for the heat map of the same figures alone.
"""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import numpy as np
import routing
from harness import command, markdown, seconds
from matplotlib.figure import Figure

from benchcoe_jobs.domain import Level
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.report.figures import Figures, read_figures
from benchcoe_jobs.services.report.page import page
from benchcoe_jobs.store.session import open_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path, help="write the report to this file")
    options = parser.parse_args()
    folder = options.store.resolve()
    os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
    os.environ["BENCHCOE_HOME"] = str(folder / "home")
    command("train-router", "by-subject", "--max-fallback", "0")
    command("evaluate", "by-subject")
    store = open_store(os.environ["BENCHCOE_DATABASE_URL"])
    figures = read_figures(store, pool="all", benchmark=None, routers=["by-subject"])
    print(f"{figures.verdict.sentence}\n")
    reported = next(stage.gain for stage in figures.stages if stage.split == "test")
    expected = gain_of_routing(folder)
    print(f"bench/routing.py on the same split: {expected}")
    assert reported is not None
    assert expected == in_points(reported["value"], reported["low"], reported["high"])
    content = page(figures)
    if options.out is not None:
        options.out.write_text(content, encoding="utf-8")
    drawn = heat_map(figures)
    ours, theirs = seconds(lambda: page(figures)), seconds(lambda: heat_map(figures))
    read = seconds(lambda: read_figures(store, pool="all", benchmark=None), times=3)
    print()
    markdown(
        ["", "bytes", "ms", "ratio"],
        [
            ["matplotlib, SVG of the heat map alone", str(len(drawn)), f"{1000 * theirs:.0f}", "1"],
            ["the whole page", str(len(content.encode())), f"{1000 * ours:.0f}", f"{ours / theirs:.2f}"],
        ],
    )
    print(f"Reading the figures, the audit included: {read:.1f} s")


def gain_of_routing(folder: Path) -> str:
    data = routing.read(folder)
    kind = routing.Kind(Level.SUBJECT, "tfidf", "linear", False)
    routing.POOLS["all twelve"] = data.names
    gain = routing.gains(data, kind, "all twelve", *routing.split(data, 0)).routed
    return in_points(float(gain.mean()), *mean_interval(gain))


def in_points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.2f} points, [{100 * low:+.2f}, {100 * high:+.2f}]"


def heat_map(figures: Figures) -> bytes:
    """The heat map of experts by subjects with its numbers, as SVG."""
    subjects = figures.labels.subjects
    names = [expert.expert for expert in figures.experts.experts]
    means = np.array([[subject.means.get(name, np.nan) for subject in subjects] for name in names])
    figure = Figure(figsize=(12, 6))
    panel = figure.subplots()
    panel.imshow(means, cmap="cividis", vmin=0, vmax=1)
    panel.set_xticks(range(len(subjects)), [subject.subject for subject in subjects], rotation=45)
    panel.set_yticks(range(len(names)), names)
    for row, column in np.ndindex(means.shape):
        panel.text(column, row, f"{100 * means[row, column]:.1f}", ha="center", va="center")
    out = io.BytesIO()
    figure.savefig(out, format="svg")
    return out.getvalue()


if __name__ == "__main__":
    main()
