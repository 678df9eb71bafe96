"""The limit of the fallback: gains and shares by limit, within the train split alone.

    OMP_NUM_THREADS=1 python bench/fallback_limit.py STORE_FOLDER [--processes 2]

STORE_FOLDER is a folder that bench/mmlu_pro.py --store made. A fifth of the train split, or a subject, is held out in
turn; routers are trained, and their fallback is calibrated, on the rest.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import routing
from harness import markdown
from routing import HELD_OUT, NAMES, Gains, Kind, gains, interval

from benchcoe_jobs.wording import percent

LIMITS = [0.2, 0.3, 0.4]
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    subjects = sorted(set(routing.read(options.store).subjects.tolist()))
    with ProcessPoolExecutor(options.processes, get_context("spawn"), routing.begin, [options.store]) as processes:
        print(
            "## Within the train split: the most that may fall back of questions like those of training\n", flush=True
        )
        work = [(kind, part) for kind in HELD_OUT for part in [*range(FOLDS), *subjects]]
        found = dict(zip(work, processes.map(held_out, work), strict=True))
    rows = []
    for number, pool in enumerate(NAMES):
        for kind in HELD_OUT:
            whole = [[found[kind, part][number][0] for part in parts] for parts in (range(FOLDS), subjects)]
            rows.append([pool, str(kind), "no fallback", gain(whole[0], "routed"), "-", gain(whole[1], "routed"), "-"])
            for at, most in enumerate(LIMITS):
                line = [pool, str(kind), percent(most, 0)]
                for parts in (range(FOLDS), subjects):
                    here = [found[kind, part][number][at] for part in parts]
                    fell_back = np.concatenate([g.fell_back for g in here])
                    line += [gain(here, "with_fallback"), f"{100 * fell_back.mean():.0f} %"]
                rows.append(line)
    markdown(["pool", "router", "limit", "a fifth held out", "fell back", "a subject held out", "fell back"], rows)


def held_out(work: tuple[Kind, str | int]) -> list[list[Gains]]:
    """The gains of a kind on a subject or a fifth, trained on the rest, by pool and limit."""
    kind, part = work
    data = routing.DATA[0]
    train = np.flatnonzero(data.split == "train")
    fifth = np.random.default_rng(1).permutation(len(train)) % FOLDS
    out = data.subjects[train] == part if isinstance(part, str) else fifth == part
    return [[gains(data, kind, pool, train[~out], train[out], most) for most in LIMITS] for pool in NAMES]


def gain(found: list[Gains], which: str) -> str:
    """The mean gain over everything held out, with its interval."""
    return interval([tuple(np.concatenate([getattr(g, name) for g in found]) for name in ("rows", which))])


if __name__ == "__main__":
    main()
