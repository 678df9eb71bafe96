"""`submit --budget` on real data: all questions under one budget against deciding each within an equal share.

    OMP_NUM_THREADS=1 python bench/budgets.py STORE

STORE is a folder that bench/mmlu_pro.py made; a copy of it is used. A query-level router (tfidf) is trained on train.
For each budget the test questions are assigned together, one by one within an equal share of the budget, and with the
quality weight that comes closest to the budget from below. Printed are the expected score (what is maximised), and the
accuracy by the stored answers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from harness import command, markdown
from mmlu_pro import POOLS
from stages import PRICES

from benchcoe_jobs.services.routing.assignment import assign
from benchcoe_jobs.services.routing.budget import WEIGHTS, Budget
from benchcoe_jobs.services.routing.decider import current_decider
from benchcoe_jobs.services.score_matrix import fill
from benchcoe_jobs.store.results import catalog, score_table
from benchcoe_jobs.store.session import open_store

SHARES = (0.1, 0.25, 0.5, 0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(options.store / "benchcoe.db", folder)
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
        os.environ["BENCHCOE_HOME"] = f"{folder}/home"
        command("init")
        for name, price in PRICES.items():
            command("add-expert", name, "--engine", "recorded", "--cost", str(price))
        rows = [row for pool in ("up to 14B", "all twelve") for row in of_pool(pool, Path(folder) / "home")]
    columns = ["pool", "budget", "expected score: together", "one by one", "quality weight", "accuracy: together"]
    markdown([*columns, "one by one", "quality weight", "budget used: together", "one by one", "quality weight"], rows)


def of_pool(pool: str, home: Path) -> list[list[str]]:
    name = pool.replace(" ", "-")
    command("add-pool", name, *(POOLS[pool] or [expert for expert in PRICES if expert != "DeepSeek-Coder-V2"]))
    command("train-router", name, "--kind", "tfidf", "--level", "query", "--pool", name, "--max-fallback", "0")
    store = open_store(os.environ["BENCHCOE_DATABASE_URL"])
    router = current_decider(store, home, name)
    snapshot = router.snapshot
    with store.reading() as connection:
        questions = catalog.questions(connection, snapshot.router.scope.benchmark_id, "test")
        ids = [snapshot.members[expert] for expert in snapshot.eligible]
        stored = score_table.scores(connection, snapshot.router.scope.benchmark_id, ids, "test")
        real = fill(stored, [question.id for question in questions], ids)
    store.close()
    known = np.flatnonzero(~np.isnan(real).any(axis=1))
    estimates = router.estimate([questions[row].router_input for row in known])
    scores, real, costs = estimates.scores, real[known], np.array(snapshot.known_costs())
    n = len(known)
    dearest = costs[router.best(estimates, Budget())].sum()
    rows = []
    for share in SHARES:
        budget = n * costs.min() + share * (dearest - n * costs.min())
        alone = np.where(costs <= budget / n, scores, -np.inf).argmax(axis=1)
        by_weight = [router.best(estimates, Budget(quality_weight=weight)) for weight in WEIGHTS]
        weighted = max((c for c in by_weight if costs[c].sum() <= budget), key=lambda c: scores[range(n), c].sum())
        chosen = [assign(scores, costs.tolist(), budget).columns, alone, weighted]
        rows.append(
            [
                pool,
                f"{budget / n:.2f} a question",
                *(f"{scores[range(n), columns].mean():.4f}" for columns in chosen),
                *(f"{100 * real[range(n), columns].mean():.1f} %" for columns in chosen),
                *(f"{100 * costs[columns].sum() / budget:.1f} %" for columns in chosen),
            ]
        )
    return rows


if __name__ == "__main__":
    main()
