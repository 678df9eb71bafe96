"""Three experts whose answers tell how good they are: two cheap ones that are right when they agree, and a dear one.

The responses are stored without an extraction rule, so they are compared as a whole.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import tables

from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.cascades.answers import Answers
from benchcoe_jobs.services.training.train import Trained, train_router
from benchcoe_jobs.store.session import Store

COSTS = {"ann": 1.0, "bob": 1.0, "cat": 10.0}
_SKILLS = {"ann": 0.6, "bob": 0.6, "cat": 0.95}
LETTERS = "ABCD"


def rows(seed: int = 0, n_train: int = 160, n_test: int = 80) -> dict[str, list[dict[str, Any]]]:
    """Result rows by expert. Wrong answers differ at random, so that equal answers are mostly right."""
    luck = random.Random(seed)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in COSTS}
    for number in range(n_train + n_test):
        split = "train" if number < n_train else "test"
        right, subject = luck.choice(LETTERS), luck.choice(["apples", "bricks"])
        for name, skill in _SKILLS.items():
            answer = right if luck.random() < skill else luck.choice([one for one in LETTERS if one != right])
            found[name].append(
                {
                    "key": f"{split}-{number}",
                    "text": f"how many {subject} in case {number}",
                    "subject": subject,
                    "split": split,
                    "score": float(answer == right),
                    "response": f"The answer is {answer}",
                }
            )
    return found


def fill(store: Store, folder: Path, *, costs: bool = True) -> None:
    """The experts and their results, without a router."""
    tables.add_experts(store, **{name: cost if costs else None for name, cost in COSTS.items()})
    for name, of_expert in rows().items():
        tables.bring(store, folder, name, *of_expert)


def train(store: Store, folder: Path, name: str = "c", **changes: Any) -> Trained:
    """Train a cascade that reads the words of the questions: no encoder can be had in the tests."""
    options = {"level": Level.QUERY, "kind": "cascade", "head": None, "pool": "all", "benchmark": None}
    return train_router(store, folder, name, **options | {"split": "train"} | changes)


def arrays(n: int = 600, seed: int = 0) -> tuple[np.ndarray, Answers, np.ndarray]:
    """Predicted scores, answers and scores (n, 3) of such experts."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 4, n)
    skills = np.array(list(_SKILLS.values()))
    scores = (rng.random((n, 3)) < skills).astype(np.float64)
    wrong = (right[:, None] + rng.integers(1, 4, (n, 3))) % 4
    codes = np.where(scores == 1.0, right[:, None], wrong)
    predictions = np.clip(skills + rng.normal(0, 0.02, (n, 3)), 0.0, 1.0)
    answers = Answers(
        np.ones((n, 3), dtype=bool),
        codes,
        np.full((n, 3), "answer is", dtype=object),
        rng.integers(10, 400, (n, 3)) * 1.0,
        np.zeros((n, 3), dtype=bool),
        np.full(n, 4),
        np.tile(list(COSTS.values()), (n, 1)),
    )
    return predictions, answers, scores
