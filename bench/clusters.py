"""Subjects by clustering beside the given subjects: what the labels of each gain on the 12 MMLU-Pro files.

    OMP_NUM_THREADS=1 python bench/clusters.py STORE [--resplits 5] [--encoder]

STORE is a folder that bench/mmlu_pro.py made. For each resplit (2/3 train, 1/3 test) clusters are learned from the
texts of the training part, and their number is chosen there. The table of best experts is learned on train and measured
on test, with the true subject or cluster of each question, in points over the best single expert.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from harness import encoder, markdown
from mmlu_pro import POOLS, Scores, score_matrix
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from benchcoe_jobs.routers.base import TrainingContext
from benchcoe_jobs.services.subjects.choice import candidates, choose
from benchcoe_jobs.services.subjects.clusters import learn_centres, learn_vectors, nearest, telling_names
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.routing.routers import StoredVectors
from benchcoe_jobs.store.session import open_store

Codes = NDArray[np.intp]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--resplits", type=int, default=5)
    parser.add_argument("--encoder", action="store_true", help="sentence vectors instead of tf-idf")
    options = parser.parse_args()
    store = open_store(f"sqlite:///{options.store.resolve()}/benchcoe.db")
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        questions = [q for split in ("train", "test") for q in catalog.questions(connection, benchmark_id, split)]
        ids = experts.expert_ids(connection)
        rows = [
            row
            for split in ("train", "test")
            for row in evaluations.outcomes(connection, benchmark_id, split, ids.values())
        ]
    inputs = [question.router_input for question in questions]
    given = np.unique([question.subject for question in questions], return_inverse=True)[1]
    matrices = {
        pool: score_matrix(
            questions, rows, [ids[name] for name in names or ids if names or name != "DeepSeek-Coder-V2"]
        )
        for pool, names in POOLS.items()
    }
    context = TrainingContext(encoder() if options.encoder else None, cache=StoredVectors(store))
    gains: dict[str, list[list[float]]] = {pool: [] for pool in POOLS}
    agreement = []
    for seed in range(options.resplits):
        shuffled = np.random.default_rng(seed).permutation(len(inputs))
        train, test = np.split(shuffled, [len(shuffled) * 2 // 3])
        learned = learn_vectors([inputs[row] for row in train], context)
        vectors = learned(inputs)
        of_number = {k: nearest(vectors, learn_centres(vectors[train], k)) for k in (14, *candidates(len(train)))}
        agreement.append(adjusted_rand_score(given[test], of_number[14][test]))
        for pool, scores in matrices.items():
            chosen = choose({k: of[train] for k, of in of_number.items() if k != 14}, scores[train]).k
            codes = (given, of_number[chosen], of_number[14])
            gains[pool].append([chosen, *(gain(scores, of, train, test) for of in codes)])
        if seed == 0:
            names = telling_names([inputs[row] for row in train], of_number[14][train], 14)
    store.close()
    print(f"Adjusted Rand index of 14 clusters and the 14 given subjects: {np.mean(agreement):.2f}\n")
    print("Names of 14 clusters (first resplit): " + "; ".join(names) + "\n")
    table = []
    for pool, found in gains.items():
        values = np.array(found)
        less = values[:, 2] - values[:, 1]
        table.append(
            [
                pool,
                ", ".join(str(int(k)) for k in values[:, 0]),
                *(f"{values[:, column].mean():+.2f}" for column in (1, 2, 3)),
                f"{less.mean():+.2f} ({less.min():+.1f} to {less.max():+.1f})",
            ]
        )
    markdown(["pool", "chosen numbers", "given subjects", "clusters", "14 clusters", "clusters less given"], table)


def gain(scores: Scores, codes: Codes, train: NDArray[np.intp], test: NDArray[np.intp]) -> float:
    """Points of a table of best experts by code over the best single expert, both from train, on test."""
    known, measured = (part[~np.isnan(scores[part]).any(axis=1)] for part in (train, test))
    totals = np.zeros((codes.max() + 1, scores.shape[1]))
    np.add.at(totals, codes[known], scores[known])
    single = scores[known].sum(axis=0).argmax()
    return 100 * float((scores[measured, totals.argmax(axis=1)[codes[measured]]] - scores[measured, single]).mean())


if __name__ == "__main__":
    main()
