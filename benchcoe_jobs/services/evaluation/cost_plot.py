"""The plot of accuracy against cost, and the frame that all plots share.

Plots are PNG or SVG files. matplotlib is imported only when a plot is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchcoe_jobs.errors import MissingError, UsageError
from benchcoe_jobs.files import write_whole
from benchcoe_jobs.services.evaluation.cost_curve import CostReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#999999"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]


def require_plot(file: Path) -> None:
    """Raise the error that a plot would end in. Called before the work whose result is to be drawn.

    Raises UsageError if the file is neither PNG nor SVG or its folder does not exist, MissingError without matplotlib.
    """
    if file.suffix not in FORMATS:
        raise UsageError(f"{file} cannot be drawn: end its name with {' or '.join(FORMATS)}")
    if not file.parent.is_dir():
        raise UsageError(f"{file} cannot be drawn: folder {file.parent} does not exist")
    if find_spec("matplotlib") is None:
        raise MissingError("plots need matplotlib: pip install 'benchcoe-jobs[plots]'")


def plot_costs(costs: CostReport, title: str, file: Path) -> None:
    """Accuracy against cost: the router at every quality weight, the baselines, and the random mixes of them.

    Raises UsageError and MissingError as `require_plot` does.
    """
    with drawn([file], (5.6, 4.0), title) as figure:
        panel = figure.subplots()
        mixes = costs.frontiers.experts if costs.frontiers else [costs.cheapest, costs.best_single]
        panel.plot(
            [point.cost for point in mixes],
            [100 * point.accuracy for point in mixes],
            color="#999999",
            linestyle="--",
            linewidth=1.0,
            label="random mixes of experts",
        )
        curve = sorted({(point.cost, 100 * point.accuracy) for point in costs.curve})
        panel.plot(*zip(*curve, strict=True), marker=".", color=COLOURS[0], linewidth=1.2, label="quality weights")
        named = [
            ("router", costs.router),
            (f"cheapest: {costs.cheapest.name}", costs.cheapest),
            (f"best single: {costs.best_single.name}", costs.best_single),
        ]
        for number, (label, point) in enumerate(named):
            panel.plot(
                point.cost,
                100 * point.accuracy,
                marker=MARKERS[number],
                color=COLOURS[number],
                linestyle="none",
                label=label,
            )
        panel.set_xlabel("cost per query")
        panel.set_ylabel("accuracy, %")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)


@contextmanager
def drawn(files: Sequence[Path], size: tuple[float, float], title: str) -> Iterator[Figure]:
    """A figure of a size in inches to draw in, which is then written to files. Equal pictures have equal bytes.

    Raises UsageError and MissingError as `require_plot` does, InputError if a file cannot be written.
    """
    for file in files:
        require_plot(file)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "benchcoe-jobs", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        if title:
            figure.suptitle(title)
        for file in files:
            picture = io.BytesIO()
            kind = file.suffix.lower().removeprefix(".")
            figure.savefig(picture, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
            write_whole(file, picture.getvalue())
