"""A plot of the gains of an experiment over the best single expert, by pool and router."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchcoe_jobs.services.evaluation.cost_plot import COLOURS, FORMATS, MARKERS, drawn
from benchcoe_jobs.services.experiments.report import TrialSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_gains(rows: Sequence[TrialSummary], title: str, folder: Path) -> list[Path]:
    """Write gains.png and gains.svg: one panel per protocol, with gains and their intervals by pool and router.

    Returns the files. Raises MissingError without matplotlib.
    """
    files = [folder / f"gains{suffix}" for suffix in FORMATS]
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    pools = list(dict.fromkeys(row.pool for row in rows))
    routers = list(dict.fromkeys(row.router for row in rows))
    size = (1.6 + 2.9 * len(protocols), 1.6 + len(pools) * (0.35 + 0.17 * len(routers)))
    with drawn(files, size, title) as figure:
        panels = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
        for panel, protocol in zip(panels, protocols, strict=True):
            _panel(panel, [row for row in rows if row.protocol == protocol], pools, routers)
        panels[0].set_yticks(range(len(pools)), pools)
        panels[0].set_ylim(len(pools) - 0.5, -0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(routers), 4), frameon=False)
    return files


def _panel(panel: Axes, rows: Sequence[TrialSummary], pools: Sequence[str], routers: Sequence[str]) -> None:
    in_sample = any(row.in_sample for row in rows)
    panel.set_title(rows[0].protocol + (" (in-sample)" if in_sample else ""))
    panel.axvline(0, color="#444444", linewidth=0.8, zorder=0)
    step = 0.7 / max(len(routers), 1)
    for number, router in enumerate(routers):
        of_router = [row for row in rows if row.router == router]
        gains = np.array([100 * row.gain for row in of_router])
        low = np.array([100 * row.low for row in of_router])
        high = np.array([100 * row.high for row in of_router])
        panel.errorbar(
            gains,
            [pools.index(row.pool) + (number - (len(routers) - 1) / 2) * step for row in of_router],
            xerr=np.maximum(np.array([gains - low, high - gains]).reshape(2, -1), 0),
            fmt=MARKERS[number % len(MARKERS)],
            color=COLOURS[number] if number < len(COLOURS) else "black",
            markersize=4,
            linewidth=1.2,
            label=router,
        )
    panel.set_xlabel("points over the best single expert")
    panel.spines[["top", "right"]].set_visible(False)
