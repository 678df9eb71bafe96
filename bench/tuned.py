"""A fine-tuned encoder on real results, beside kinds that learned from the same questions.

    python bench/tuned.py STORE_FOLDER [--train 1500]

STORE_FOLDER is one that bench/mmlu_pro.py kept (--store). Subject level, no fallback; learned from some of the stored
deal's train questions, since all of them take the better part of an hour on two cores; early stopping on the
validation split, judged on the test split.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from harness import markdown
from mmlu_pro import POOLS
from numpy.typing import NDArray
from routing import NAMES, Data, best, interval, read

from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, Setting
from benchcoe_jobs.routers.model import new_recipe

KINDS = [("bert", "linear"), ("embedding", "linear"), ("embedding", "knn"), ("tfidf", "linear")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--train", type=int, default=1_500)
    options = parser.parse_args()
    tuned(read(options.store), options.train)


def tuned(data: Data, n: int) -> None:
    print(f"## Learned from {n} questions: gain in points on the test split, subject level, no fallback\n", flush=True)
    train, validation, test = (np.flatnonzero(data.split == name) for name in ("train", "validation", "test"))
    train = np.random.default_rng(0).permutation(train)[:n]
    subjects = tuple(sorted(set(data.subjects[train])))
    validation = validation[np.isin(data.subjects[validation], subjects)]
    rows = []
    for kind, head in KINDS:
        recipe = new_recipe(Level.SUBJECT, kind, head, data.setting if kind != "tfidf" else Setting())
        model = recipe.fit(subjects, by_subject(data, train, subjects), by_subject(data, validation, subjects))
        predicted = model.predict([data.questions[row].asked for row in test]).argmax(axis=1)
        right = np.array(subjects)[predicted] == data.subjects[test]
        line = [f"{kind} {head}", f"{100 * right.mean():.1f}"]
        for pool in NAMES:
            columns = [data.names.index(name) for name in POOLS[pool]]
            scores = data.scores[:, columns]
            single = best(scores[train], 0)
            table = np.array([best(scores[train][data.subjects[train] == subject], single) for subject in subjects])
            whole = ~np.isnan(scores[test]).any(axis=1)
            here, chosen = test[whole], table[predicted[whole]]
            line.append(interval([(here, scores[here, chosen] - scores[here, single])]))
        rows.append(line)
        print("  ".join(line), file=sys.stderr, flush=True)
    markdown(["kind", "subject accuracy %", *NAMES], rows)


def by_subject(data: Data, rows: NDArray[np.intp], subjects: tuple[str, ...]) -> Examples:
    targets = np.eye(len(subjects))[np.searchsorted(subjects, data.subjects[rows])]
    return Examples([data.questions[row].asked for row in rows], data.subjects[rows].tolist(), targets)


if __name__ == "__main__":
    main()
