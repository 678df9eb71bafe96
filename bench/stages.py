"""Naive, in-distribution and held-out gains, and label policies, on the real MMLU-Pro files, by `experiment`.

    python bench/stages.py stages   [--out FOLDER] [--kinds embedding] [--seeds 0]
    python bench/stages.py policies [--out FOLDER] [--kinds embedding] [--seeds 0,1,2,3,4]

stages: naive, in distribution, every source held out in turn, every subject held out in turn. policies:
in distribution, the three label policies by gain, by the number of labels they change, and by the price of a
routed query. Prices are active parameters in billions, and a guess for the closed expert: they
only rank the experts. The store and the outcomes are kept in FOLDER; an interrupted run goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import command, encoder, imported, markdown, result_files
from mmlu_pro import POOLS

PRICES = {
    "DeepSeek-Coder-V2": 21.0,
    "Meta-Llama-3-8B": 8.0,
    "Meta-Llama-3_1-8B-Instruct": 8.0,
    "Mistral-7B-Instruct-v0.2": 7.2,
    "Mixtral-8x7B-Instruct-v0.1": 12.9,
    "Phi-3-mini-4k-instruct": 3.8,
    "Qwen1.5-7B-Chat": 7.7,
    "Yi-6b-Chat": 6.1,
    "c4ai-command-r-v01": 35.0,
    "gemini-1.5-flash-002": 30.0,
    "gemma-7b": 8.5,
    "mathstral-7B": 7.3,
}
STAGES = ["naive", "in-distribution", "held-out-sources", "held-out-subjects"]
POLICIES = ["best", "cheapest-of-tied", "abstain"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["stages", "policies"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kinds")
    parser.add_argument("--seeds")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = (options.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
        imported(result_files(), PRICES)
        if options.what == "stages":
            stages(folder, (options.kinds or "embedding").split(","), options.seeds or "0")
        else:
            policies(folder, (options.kinds or "embedding").split(","), options.seeds or "0,1,2,3,4")


def stages(folder: Path, kinds: list[str], seeds: str) -> None:
    routers: list[dict[str, Any]] = [
        {"name": f"{level}, {kind}", "level": level, "kind": kind} for kind in kinds for level in ("subject", "query")
    ]
    ran(folder, "stages", STAGES, seeds, routers)
    print((folder / "stages" / "table.md").read_text())


def policies(folder: Path, kinds: list[str], seeds: str) -> None:
    routers: list[dict[str, Any]] = [
        {"name": f"{kind}, {policy}", "kind": kind, "policy": policy} for kind in kinds for policy in POLICIES
    ]
    shown = ran(folder, "policies", ["in-distribution"], seeds, routers)
    cells = [json.loads(file.read_text()) for file in (folder / "policies" / "cells").glob("*.json")]
    price: dict[tuple[str, str], list[float]] = {}
    for cell in cells:
        price.setdefault((cell["cell"]["pool"], cell["cell"]["router"]["name"]), []).append(
            cell["report"]["cost"]["router"]
        )
    rows = []
    for row in shown["rows"]:
        pool, router = row["pool"], row["router"]
        built = command("build-labels", "--level", "subject", "--pool", pool, "--policy", router.partition(", ")[2])
        moved = sum(label["rank"] > 1 for label in built["labels"])
        rows.append(
            [
                pool,
                router,
                f"{moved} of {len(built['labels'])}",
                f"{100 * row['best_single']:.1f}",
                f"{100 * row['accuracy']:.1f}",
                f"{100 * row['gain']:+.2f} [{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]",
                f"{100 * row['seeds_low']:+.1f} to {100 * row['seeds_high']:+.1f}",
                f"{np.mean(price[pool, router]):.2f}",
            ]
        )
    markdown(
        ["pool", "router, policy", "labels moved", "best single", "routed", "gain [95 %]", "seeds", "price a query"],
        rows,
    )


def ran(folder: Path, name: str, protocols: list[str], seeds: str, routers: list[dict[str, Any]]) -> Any:
    """Write the experiment file and run it, without a fallback; returns the command's JSON."""
    pools = {pool: POOLS[pool] or list(PRICES) for pool in ("four 7-9B", "up to 14B", "all twelve")}
    for pool, members in pools.items():
        command("add-pool", pool, *members)
    for router in routers:
        router["max_fallback"] = 0
        if router["kind"] == "embedding":
            router["encoder"] = encoder()
    lines = [
        f"title = {json.dumps(name)}",
        'benchmark = "mmlu-pro"',
        f"protocols = {json.dumps(protocols)}",
        f"seeds = [{seeds}]",
        "[pools]",
        *(f"{json.dumps(pool)} = {json.dumps(members)}" for pool, members in pools.items()),
    ]
    for router in routers:
        lines += ["[[routers]]", *(f"{key} = {json.dumps(value)}" for key, value in router.items())]
    file = folder / f"{name}.toml"
    file.write_text("\n".join(lines) + "\n")
    return command("experiment", str(file))


if __name__ == "__main__":
    main()
