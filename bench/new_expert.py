"""A new expert without retraining, on the real MMLU-Pro files: each expert is withheld in turn and added back.

    python bench/new_expert.py [--pool "four 7-9B"] [--kind embedding] [--out FOLDER]

Without it, a router of each level is trained. Then it joins the pool: the subject level follows its label view,
the query level gets one more head (train-router --extend). Then both are trained from scratch. Accuracies are on
the test split. The store is kept in FOLDER; its embeddings make a second run fast.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import command, encoder, imported, markdown, result_files
from mmlu_pro import POOLS
from stages import PRICES

COLUMNS = ["without", "with it", "trained again", "seconds to add", "seconds to train again"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", default="four 7-9B", choices=list(POOLS))
    parser.add_argument("--kind", default="embedding", choices=["tfidf", "embedding"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = (options.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
        os.environ["BENCHCOE_HOME"] = str(folder / "home")
        imported(result_files(), PRICES)
        members = POOLS[options.pool] or list(PRICES)
        settings = [
            "--kind",
            options.kind,
            "--max-fallback",
            "0",
            *(["--encoder", encoder()] if options.kind == "embedding" else []),
        ]
        found = {}
        for name in members:
            found[name] = withheld(name, f"{options.pool}, {name} last", members, settings)
            print(name, found[name], file=sys.stderr)
    print(f"Pool {options.pool}, {options.kind}, test split; accuracies in percent\n")
    for level in ("subject", "query"):
        rows = [[name, *shown(by_level[level])] for name, by_level in found.items()]
        means = np.mean([by_level[level] for by_level in found.values()], axis=0)
        markdown([f"{level} level: withheld", *COLUMNS], [*rows, ["mean", *shown(list(means))]])


def withheld(name: str, pool: str, members: list[str], settings: list[str]) -> dict[str, list[float]]:
    """Level -> accuracies before, after adding and after full training, and the seconds of the last two."""
    command("add-pool", pool, *(other for other in members if other != name), "--remove", name)
    trained = {
        level: ["train-router", f"{level}-late", "--level", level, "--pool", pool, *settings] for level in LEVELS
    }
    before = {}
    for level in LEVELS:
        command(*trained[level])
        before[level] = accuracy(f"{level}-late")
    joining = timed(lambda: command("add-pool", pool, name))
    found = {}
    for level in LEVELS:
        extending = 0.0 if level == "subject" else timed(lambda: command("train-router", "query-late", "--extend"))
        after = accuracy(f"{level}-late")
        training = timed(lambda words=trained[level]: command(*words))
        found[level] = [before[level], after, accuracy(f"{level}-late"), joining + extending, training]
    return found


LEVELS = ("subject", "query")


def accuracy(router: str) -> float:
    return 100 * float(command("evaluate", router)["accuracy"])


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def shown(figures: list[float]) -> list[str]:
    return [*(f"{value:.2f}" for value in figures[:3]), *(f"{value:.1f}" for value in figures[3:])]


if __name__ == "__main__":
    main()
