"""Routing: questions per second in batch and one by one, against the published padded classifier.

    python bench/latency.py [--questions 200]

Both have all-MiniLM-L6-v2 for an encoder and read the same real MMLU-Pro questions. One is a subject-level `bert`
router, trained on other questions, loaded once and called as `route` calls it, with fallback and reasons. The published
classifier pads every question to 512 tokens. The accuracies are not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from harness import command, encoder, markdown, seconds
from published_router import Published, real_questions

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.services.routing.decider import Decider, decider
from benchcoe_jobs.services.routing.snapshot import take_snapshot
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.session import open_store

LEARNED_FROM = 60
EXPERTS = ("ann", "bob")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200)
    options = parser.parse_args()
    drawn = real_questions(LEARNED_FROM + options.questions)
    inputs = [query.router_input for query in drawn[LEARNED_FROM:]]
    published = Published(encoder(), sorted({query.subject for query in drawn}))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
        os.environ["BENCHCOE_HOME"] = f"{folder}/home"
        decider = trained(Path(folder), drawn[:LEARNED_FROM])
        batch = len(inputs) / seconds(lambda: decider.choose(inputs), times=3)
        ours = each(lambda question: decider.choose([question]), inputs)
        theirs = each(published.route, inputs)
    print(f"## {len(inputs)} real questions\n")
    slow = 1 / theirs.mean()
    rows = [
        ["`route`, in batch", batch, None],
        ["`route`, one by one", 1 / ours.mean(), ours],
        ["published, one by one", slow, theirs],
    ]
    columns = ["", "questions a second", "ratio", "p50 ms", "p99 ms"]
    markdown(columns, [[name, f"{rate:.1f}", f"{rate / slow:.1f}", *tail(taken)] for name, rate, taken in rows])


def trained(folder: Path, queries: Iterable[Question]) -> Decider:
    """A loaded subject-level bert router; the scores of its experts are made up."""
    rows = [
        {"text": q.router_input.text, "choices": list(q.router_input.choices), "subject": q.subject, "expert": expert}
        | {"score": int((q.subject < "h") == (expert == EXPERTS[0]))}
        for q in queries
        for expert in EXPERTS
    ]
    file = folder / "results.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    command("init")
    for expert in EXPERTS:
        command("add-expert", expert, "--engine", "recorded")
    command("import-results", "all", str(file), "--benchmark", "real")
    command("train-router", "r", "--kind", "bert", "--encoder", encoder())
    store = open_store(os.environ["BENCHCOE_DATABASE_URL"])
    with store.reading() as connection:
        snapshot = take_snapshot(connection, "r")
    return decider(store, folder / "home", snapshot)


def each(ask: Callable[[RouterInput], object], questions: list[RouterInput]) -> np.ndarray:
    """Wall seconds of each question (n,), after a warm-up."""
    for question in questions[:3]:
        ask(question)
    taken = []
    for question in questions:
        start = time.perf_counter()
        ask(question)
        taken.append(time.perf_counter() - start)
    return np.array(taken)


def tail(taken: np.ndarray | None) -> list[str]:
    return ["-", "-"] if taken is None else [f"{1000 * np.quantile(taken, q):.0f}" for q in (0.5, 0.99)]


if __name__ == "__main__":
    main()
