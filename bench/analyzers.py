"""The analyzer of `tfidf` against that of releases before 0.3.0, on 12 published MMLU-Pro files.

    python bench/analyzers.py

A subject-level router without a fallback is trained with each analyzer on the train split. Both are evaluated on the
test split, on the queries for which every expert of a pool has a score: accuracy of the predicted subject, and gain
over the best single expert of the train split, in points, with a 95 % interval.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import imported, markdown, result_files
from mmlu_pro import POOLS, score_matrix

from benchcoe_jobs.routers.analyzer import ANALYZERS
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.linear import LogisticHead
from benchcoe_jobs.routers.tfidf import TfidfFeatures
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.session import open_store


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{Path(folder).resolve()}/benchcoe.db"
        files = result_files()
        imported(files, dict.fromkeys(files, 1.0))
        compare()


def compare() -> None:
    store = open_store(os.environ["BENCHCOE_DATABASE_URL"])
    parts = {}
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        ids = experts.expert_ids(connection)
        for split in ("train", "test"):
            questions = catalog.questions(connection, benchmark_id, split)
            rows = list(evaluations.outcomes(connection, benchmark_id, split, ids.values()))
            parts[split] = questions, score_matrix(questions, rows, list(ids.values()))
    (train, train_scores), (test, test_scores) = parts["train"], parts["test"]
    subjects = sorted({question.subject for question in train})
    truth = {split: np.array([subjects.index(q.subject) for q in part[0]]) for split, part in parts.items()}
    names, table, chosen = list(ids), [], {}
    for number in ANALYZERS:
        start = time.perf_counter()
        features = TfidfFeatures(TrainingContext())
        features._analyzer = number
        inputs = [question.router_input for question in train]
        features.fit(inputs)
        x = features.transform(inputs)
        head = LogisticHead()
        head.fit(x, Examples(inputs, [q.subject for q in train], np.eye(len(subjects))[truth["train"]]))
        chosen[number] = head.predict(features.transform([q.router_input for q in test])).argmax(axis=1)
        right = 100 * (chosen[number] == truth["test"]).mean()
        row = [str(number), f"{x.shape[1]:,}", f"{time.perf_counter() - start:.1f}", f"{right:.2f}"]
        for pool in POOLS.values():
            columns = [names.index(name) for name in pool or names]
            row.append(gain(train_scores[:, columns], truth["train"], test_scores[:, columns], chosen[number]))
        table.append(row)
    markdown(["analyzer", "features", "seconds", "subject %", *POOLS], table)
    first, last = min(ANALYZERS), max(ANALYZERS)
    print(f"{(chosen[first] != chosen[last]).sum()} of {len(test)} test queries get another subject")


def gain(train: np.ndarray, subject: np.ndarray, test: np.ndarray, chosen: np.ndarray) -> str:
    whole = ~np.isnan(train).any(axis=1)
    means = np.array([train[whole & (subject == one)].mean(axis=0) for one in range(subject.max() + 1)])
    complete = ~np.isnan(test).any(axis=1)
    routed = test[complete, means.argmax(axis=1)[chosen[complete]]]
    gains = 100 * (routed - test[complete, train[whole].mean(axis=0).argmax()])
    low, high = mean_interval(gains)
    return f"{gains.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
