"""How often the 80 % interval of a quote holds, over the stored answers of the 12 MMLU-Pro files.

    python bench/quotes.py STORE [--probes 200]

STORE is a folder that bench/mmlu_pro.py made. The files have no token counts: the characters of an answer, divided by
four, stand for its tokens. For each expert, probes of 20 random questions quote the sum over its other questions; for a
new expert, the means of the other eleven quote it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from harness import markdown
from sqlalchemy import text

from benchcoe_jobs.services.quote.interval import Interval, of_alike, of_sample
from benchcoe_jobs.store.session import open_store

LENGTHS = """
SELECT e.name, LENGTH(r.text) / 4.0 FROM response r JOIN run n ON n.id = r.run_id JOIN expert e ON e.id = n.expert_id
WHERE r.text IS NOT NULL ORDER BY e.name, r.query_id
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--probes", type=int, default=200)
    options = parser.parse_args()
    store = open_store(f"sqlite:///{options.store.resolve()}/benchcoe.db")
    lengths: dict[str, list[float]] = {}
    with store.reading() as connection:
        for name, tokens in connection.execute(text(LENGTHS)):
            lengths.setdefault(name, []).append(tokens)
    store.close()
    rng = np.random.default_rng(0)
    rows, shares, held_by_others = [], [], 0
    for name, of_expert in lengths.items():
        values = np.array(of_expert)
        held, width, naive = 0, 0.0, 0
        for _ in range(options.probes):
            order = rng.permutation(len(values))
            probe, rest = values[order[:20]], values[order[20:]]
            interval = of_sample(probe.tolist(), len(rest))
            held += holds(interval, rest.sum())
            width += (interval.high - interval.low) / 2 / interval.value
            naive += abs(probe.mean() * len(rest) / rest.sum() - 1) < 0.1
        total = values.sum()
        others = of_alike([float(np.mean(other)) for key, other in lengths.items() if key != name], len(values))
        held_by_others += holds(others, total)
        shares.append(held / options.probes)
        rows.append(
            [
                name,
                f"{values.mean():.0f}",
                f"{100 * shares[-1]:.0f} %",
                f"{100 * width / options.probes:.0f} %",
                f"{100 * naive / options.probes:.0f} %",
                f"{others.value / total:.2f} ({others.low / total:.2f} to {others.high / total:.2f})",
            ]
        )
    print(
        f"Probes of 20: the interval held in {100 * np.mean(shares):.0f} % of {len(shares) * options.probes} quotes. "
        f"From the other experts: in {held_by_others} of {len(lengths)}.\n"
    )
    columns = ["expert", "tokens an answer", "interval held", "half-width", "plain mean within 10 %"]
    markdown([*columns, "quoted by the others, of the true sum"], rows)


def holds(interval: Interval, total: float) -> bool:
    return bool(interval.low <= total <= interval.high)


if __name__ == "__main__":
    main()
