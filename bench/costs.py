"""Accuracy against cost on real results: what routers save, by public commands on the stored split assignment.

    OMP_NUM_THREADS=1 python bench/costs.py STORE_FOLDER [--kinds tfidf,blend]

STORE_FOLDER is a folder that bench/mmlu_pro.py --store made; it is copied. Costs are active parameters in billions (see
stages.py). For each pool and kind: the cost of the best single expert's accuracy, with all quality weights and with
every sixth of them; the area under the frontier against experts alone, and the gain over the mix of the cheapest and
the best expert, which was the baseline before; and what `--quality-weight auto`, chosen on train, does on the test
split.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import command, encoder, markdown
from mmlu_pro import POOLS
from stages import PRICES

from benchcoe_jobs.services.evaluation.frontier import Frontier

NAMES = ["four 7-9B", "up to 14B", "five alike", "all twelve"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--kinds", default="tfidf,blend")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(options.store / "benchcoe.db", folder)
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
        os.environ["BENCHCOE_HOME"] = f"{folder}/home"
        command("init")
        for name, price in PRICES.items():
            command("add-expert", name, "--engine", "recorded", "--cost", str(price))
        rows = [one(pool, kind) for pool in NAMES for kind in options.kinds.split(",")]
    markdown(
        [
            "pool",
            "router",
            "gain, points",
            "accuracy of the best single at % of its cost",
            "with 11 weights",
            "area, points over experts alone",
            "over the old mix",
            "`auto`: gain, points",
            "`auto`: % of its cost",
        ],
        rows,
    )


def one(pool: str, kind: str) -> list[str]:
    """A row of the table."""
    name = pool.replace(" ", "-")
    command("add-pool", name, *(POOLS[pool] or PRICES))
    level = ["--level", "query", "--encoder", encoder()] if kind == "blend" else []
    command("train-router", kind, "--kind", kind, "--pool", name, "--max-fallback", "0", *level)
    report = command("evaluate", kind, "--split", "test")
    auto = command("evaluate", kind, "--split", "test", "--quality-weight", "auto")
    costs = report["costs"]
    found = costs["frontiers"]
    return [
        pool,
        kind,
        in_points(report["gain"]),
        "{value:.0f} [{low:.0f}, {high:.0f}]".format(
            **{part: 100 * value for part, value in found["same_accuracy_cost"].items()}
        ),
        f"{100 * same_accuracy_cost(costs, costs['curve'][::6]):.0f}",
        in_points(found["area_gain"]),
        f"{100 * (found['area'] - old_area(costs, found)):+.1f}",
        in_points(auto["gain"]),
        f"{100 * auto['cost']['router'] / auto['cost']['best_single']:.0f}",
    ]


def same_accuracy_cost(costs: dict[str, Any], curve: list[dict[str, float]]) -> float:
    """The share of the best single expert's cost that its accuracy costs, on the frontier of some of the weights."""
    points = [costs["cheapest"], costs["best_single"], *curve]
    frontier = Frontier.of(*(np.array([point[part] for point in points]) for part in ("cost", "accuracy")))
    best = costs["best_single"]
    return frontier.cost_of(best["accuracy"]) / best["cost"]


def old_area(costs: dict[str, Any], found: dict[str, Any]) -> float:
    """The area under the mixes of the cheapest and the best single expert, over the same costs as `area`."""
    ends = costs["cheapest"], costs["best_single"]
    mixes = Frontier.of(*(np.array([point[part] for point in ends]) for part in ("cost", "accuracy")))
    return mixes.mean_accuracy(found["experts"][0]["cost"], found["experts"][-1]["cost"])


def in_points(gain: dict[str, float]) -> str:
    return f"{100 * gain['value']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"


if __name__ == "__main__":
    main()
