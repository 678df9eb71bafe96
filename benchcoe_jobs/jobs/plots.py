"""Plots, as PNG or SVG: gains of an experiment, and accuracy against cost. matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchcoe_jobs.errors import MissingError, StoreError, UsageError
from benchcoe_jobs.jobs.curve import CostReport
from benchcoe_jobs.jobs.experiment_report import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")

# Okabe and Ito's colours, told apart by every kind of sight; black for the ninth and on.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#999999"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]


def check_plot(file: Path) -> None:
    """Raise what would keep a plot from being written, before the work that it is to show.

    UsageError for a file that is neither PNG nor SVG or has no folder, MissingError without matplotlib.
    """
    if file.suffix not in FORMATS:
        raise UsageError(f"{file} cannot be drawn: end its name with {' or '.join(FORMATS)}")
    if not file.parent.is_dir():
        raise UsageError(f"{file} cannot be drawn: there is no folder {file.parent}")
    if find_spec("matplotlib") is None:
        raise MissingError("plots need matplotlib: pip install 'benchcoe-jobs[plots]'")


def plot_gains(rows: Sequence[Row], title: str, folder: Path) -> list[Path]:
    """gains.png and gains.svg: a panel per protocol, gains with intervals by pool and router.

    Raises MissingError without matplotlib.
    """
    files = [folder / f"gains{suffix}" for suffix in FORMATS]
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    pools = list(dict.fromkeys(row.pool for row in rows))
    routers = list(dict.fromkeys(row.router for row in rows))
    size = (1.6 + 2.9 * len(protocols), 1.6 + len(pools) * (0.35 + 0.17 * len(routers)))
    with _drawn(files, size, title) as figure:
        panels = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
        for panel, protocol in zip(panels, protocols, strict=True):
            _panel(panel, [row for row in rows if row.protocol == protocol], pools, routers)
        panels[0].set_yticks(range(len(pools)), pools)
        panels[0].set_ylim(len(pools) - 0.5, -0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(routers), 4), frameon=False)
    return files


def plot_costs(costs: CostReport, title: str, file: Path) -> None:
    """Accuracy against cost: the router at every quality weight, the baselines, and the random mixes of them.

    Raises UsageError and MissingError as `check_plot` does.
    """
    with _drawn([file], (5.6, 4.0), title) as figure:
        panel = figure.subplots()
        ends = [costs.cheapest, costs.best_single]
        panel.plot(
            [point.cost for point in ends],
            [100 * point.accuracy for point in ends],
            color="#999999",
            linestyle="--",
            linewidth=1.0,
            label="random mixes",
        )
        curve = sorted({(point.cost, 100 * point.accuracy) for point in costs.curve})
        panel.plot(*zip(*curve, strict=True), marker=".", color=_COLOURS[0], linewidth=1.2, label="quality weights")
        named = [
            ("router", costs.router),
            (f"cheapest: {costs.cheapest.name}", costs.cheapest),
            (f"best single: {costs.best_single.name}", costs.best_single),
        ]
        for number, (label, point) in enumerate(named):
            panel.plot(
                point.cost,
                100 * point.accuracy,
                marker=_MARKERS[number],
                color=_COLOURS[number],
                linestyle="none",
                label=label,
            )
        panel.set_xlabel("cost per query")
        panel.set_ylabel("accuracy, %")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)


@contextmanager
def _drawn(files: Sequence[Path], size: tuple[float, float], title: str) -> Iterator[Figure]:
    """A figure to draw in, of a size in inches, that is then written; the same picture gives the same bytes."""
    for file in files:
        check_plot(file)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "benchcoe-jobs", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        if title:
            figure.suptitle(title)
        for file in files:
            try:
                figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)
            except OSError as error:
                raise StoreError(f"the plot cannot be written to {file}: {error.strerror or error}") from error


def _panel(panel: Axes, rows: Sequence[Row], pools: Sequence[str], routers: Sequence[str]) -> None:
    in_sample = any(row.in_sample for row in rows)
    panel.set_title(rows[0].protocol + (" (in-sample)" if in_sample else ""))
    panel.axvline(0, color="#444444", linewidth=0.8, zorder=0)
    step = 0.7 / max(len(routers), 1)
    for number, router in enumerate(routers):
        mine = [row for row in rows if row.router == router]
        gains = np.array([100 * row.gain for row in mine])
        spans = [gains - [100 * row.low for row in mine], np.array([100 * row.high for row in mine]) - gains]
        panel.errorbar(
            gains,
            [pools.index(row.pool) + (number - (len(routers) - 1) / 2) * step for row in mine],
            xerr=np.maximum(np.array(spans).reshape(2, -1), 0),
            fmt=_MARKERS[number % len(_MARKERS)],
            color=_COLOURS[number] if number < len(_COLOURS) else "black",
            markersize=4,
            linewidth=1.2,
            label=router,
        )
    panel.set_xlabel("points over the best single expert")
    panel.spines[["top", "right"]].set_visible(False)
