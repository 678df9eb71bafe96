"""A fine-tuned encoder on real results, against kinds trained on the same questions.

    python bench/bert_router.py STORE_FOLDER [--train 300]

STORE_FOLDER is a folder that bench/mmlu_pro.py --store made. Subject level, no fallback; trained on the train questions
of the stored split assignment, or on N of them: all take the better part of an hour on two cores. Early stopping on the
validation split, accuracy on the test split.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from harness import markdown
from routing import NAMES, Data, Kind, best, complete, interval, read, scores_of, subject_table, subjects_of, trainer

from benchcoe_jobs.domain import Level

KINDS = [
    Kind(Level.SUBJECT, kind, head, calibrated=False)
    for kind, head in (("bert", "linear"), ("embedding", "linear"), ("embedding", "knn"), ("tfidf", "linear"))
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--train", type=int, metavar="N", help="only N of them")
    options = parser.parse_args()
    tuned(read(options.store), options.train)


def tuned(data: Data, n: int | None) -> None:
    train, validation, test = (np.flatnonzero(data.split == name) for name in ("train", "validation", "test"))
    train = np.random.default_rng(0).permutation(train)[:n]
    print(f"## Learned from {len(train)} questions: gain in points on the test split, subject level, no fallback\n")
    subjects, examples = subjects_of(data, train)
    of_validation, held_out = subjects_of(data, validation)
    if of_validation != subjects:
        raise SystemExit(f"{n} questions lack a subject of the validation split: give more with --train")
    rows = []
    for kind in KINDS:
        model = trainer(data, kind).fit(subjects, examples, held_out)
        predicted = model.predict([data.questions[row].router_input for row in test]).argmax(axis=1)
        right = np.array(subjects)[predicted] == data.subjects[test]
        line = [f"{kind.kind} {kind.head}", f"{100 * right.mean():.1f}"]
        for pool in NAMES:
            scores = scores_of(data, pool)
            chosen = subject_table(data, scores, train, subjects)[predicted]
            gain = scores[test, chosen] - scores[test, best(scores[train], 0)]
            here = np.isin(test, complete(scores, test))
            line.append(interval([(test[here], gain[here])]))
        rows.append(line)
        print("  ".join(line), file=sys.stderr, flush=True)
    markdown(["kind", "subject accuracy %", *NAMES], rows)


if __name__ == "__main__":
    main()
