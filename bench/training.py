"""Fine-tuning a router: examples per second and accuracy, against the published loop.

    python bench/training.py [--train 160] [--epochs 2] [--validation 400]

Both learn the subjects of the same real MMLU-Pro questions for the same number of epochs, from all-MiniLM-L6-v2, on
this machine. The published loop pads every question to 512 tokens, in float32, in batches of 16, with AdamW at 2e-5.
Against it runs the kind `bert` as `train-router` runs it, including what it does beside the epochs: reading the
questions, and learning the first head. Accuracies are on questions that neither has seen. `bert` also runs in float32,
which shows the effect of less padding alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from harness import encoder, markdown
from numpy.typing import NDArray
from published_router import Published, real_questions

from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.bert import Bert
from benchcoe_jobs.routers.fine_tuning import hf_trainer
from benchcoe_jobs.store.results.catalog import Question

Learned = Callable[[], NDArray[np.str_]]
"""A trained classifier: the subjects of the validation questions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=160)
    parser.add_argument("--validation", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    drawn = real_questions(options.train + options.validation)
    train, validation = drawn[: options.train], drawn[options.train :]
    bf16 = hf_trainer.bf16_helps()

    def run(train_it: Callable[[], Learned]) -> tuple[float, float]:
        """Examples per second, and accuracy on validation."""
        start = time.perf_counter()
        learned = train_it()
        rate = options.epochs * len(train) / (time.perf_counter() - start)
        return rate, float(np.mean(learned() == np.array([query.subject for query in validation])))

    ours(train[:32], validation[:1], 1)  # a warm-up
    found = {"`train-router`": run(lambda: ours(train, validation, options.epochs))}
    if bf16:
        hf_trainer.bf16_helps = lambda: False
        found["`train-router` in float32"] = run(lambda: ours(train, validation, options.epochs))
    found["published loop"] = run(lambda: published(train, validation, options.epochs))
    slow, _ = found["published loop"]
    print(
        f"## {len(train)} real questions, {options.epochs} epochs, {len(validation)} for validation; train-router "
        f"{'with' if bf16 else 'without'} bfloat16\n"
    )
    rows = [[name, f"{rate:.1f}", f"{rate / slow:.1f}", f"{100 * right:.1f}"] for name, (rate, right) in found.items()]
    markdown(["", "examples a second", "ratio", "validation accuracy %"], rows)


def ours(train: list[Question], validation: list[Question], epochs: int) -> Learned:
    subjects = sorted({query.subject for query in train})
    targets = np.eye(len(subjects))[[subjects.index(query.subject) for query in train]]
    examples = Examples([query.router_input for query in train], [query.subject for query in train], targets)
    features, head = Bert(epochs=epochs).fit(Level.SUBJECT, "linear", examples, None, TrainingContext(encoder()))
    inputs = [query.router_input for query in validation]
    return lambda: np.array(subjects)[head.predict(features.transform(inputs)).argmax(axis=1)]


def published(train: list[Question], validation: list[Question], epochs: int) -> Learned:
    subjects = [query.subject for query in train]
    model = Published(encoder(), sorted(set(subjects)))
    model.train([query.router_input for query in train], subjects, epochs)
    return lambda: model.predict([query.router_input for query in validation])


if __name__ == "__main__":
    main()
