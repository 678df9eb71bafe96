"""The estimate from the training split alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tables

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.report.verdict import Answer
from benchcoe_jobs.services.report.worth import N_TRAININGS, NO_ROUTER, worth
from benchcoe_jobs.store.session import Store


def bring(store: Store, folder: Path, chances: dict[str, tuple[float, float]], n: int = 120) -> None:
    """Experts that are right by chance, with these probabilities on maps and on math; split test is always wrong."""
    tables.add_experts(store, **dict.fromkeys(chances, 1.0))
    for number, (expert, by_subject) in enumerate(chances.items()):
        rng = np.random.default_rng(number)
        rows = [
            {"key": f"{subject}{i}", "text": f"{subject} question {i}", "subject": subject, "split": "train"}
            | {"score": float(rng.random() < chance)}
            for subject, chance in zip(("maps", "math"), by_subject, strict=True)
            for i in range(n)
        ]
        rows.append({"key": "t", "text": "a test", "subject": "maps", "split": "test", "score": 0.0})
        tables.bring(store, folder, expert, *rows)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_experts_that_differ_by_subject_are_worth_routing(store: Store, tmp_path: Path) -> None:
    bring(store, tmp_path, {"ann": (0.9, 0.2), "bob": (0.2, 0.9)})
    trainings: list[int] = []
    found = worth(store, pool="all", benchmark=None, progress=trainings.append)
    assert sum(trainings) == N_TRAININGS
    assert found.n == 240
    assert found.gain["low"] > 0.2
    assert found.verdict.answer is Answer.MORE_ACCURATE
    assert "split train, in nested cross-validation, at 1.00 of its cost" in found.verdict.sentence


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_an_expert_that_is_best_everywhere_is_not(store: Store, tmp_path: Path) -> None:
    bring(store, tmp_path, {"ann": (0.9, 0.9), "bob": (0.2, 0.2)})
    found = worth(store, pool="all", benchmark=None)
    assert found.chosen == {NO_ROUTER: 4}
    assert found.gain == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found.verdict.sentence.startswith("Do not route: ")


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_too_few_questions_are_refused(store: Store, tmp_path: Path) -> None:
    bring(store, tmp_path, {"ann": (0.9, 0.2), "bob": (0.2, 0.9)}, n=20)
    with pytest.raises(UsageError, match="has 40 questions"):
        worth(store, pool="all", benchmark=None)
