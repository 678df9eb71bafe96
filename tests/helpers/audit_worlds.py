"""Results of experts whose scores correlate, and logs whose rows are in another order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text
from tables import add_experts, bring

from benchcoe_jobs.services.audit.findings import Finding
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.session import Store

N = 1200


def gathered(n: int, workers: int) -> list[int]:
    """The question of each row of a log that was concatenated worker by worker."""
    return [question for worker in range(workers) for question in range(worker, n, workers)]


def interleaved(n: int, workers: int) -> list[int]:
    """The question of each row of a log in which workers with consecutive questions take turns."""
    sizes = [len(range(worker, n, workers)) for worker in range(workers)]
    starts = [sum(sizes[:worker]) for worker in range(workers)]
    return [starts[row % workers] + row // workers for row in range(n)]


def rows(n: int = N) -> list[dict[str, Any]]:
    """Questions with keys from q0, the first half on maps and the second on math, three of four in train."""
    return [
        {"key": f"q{i}", "text": f"question {i}?", "subject": "maps" if i < n / 2 else "math"}
        | {"split": "test" if i % 4 == 3 else "train"}
        for i in range(n)
    ]


def correlated(n: int = N, seed: int = 0, harder: float = 0.3, **skills: float) -> dict[str, list[float]]:
    """Scores of 0 or 1 of experts for which the same questions are hard, those of the second half `harder`."""
    luck = random.Random(seed)
    hard = [0.6 * luck.random() + (harder if i >= n / 2 else 0.0) for i in range(n)]
    return {name: [float(h + 0.4 * luck.random() < skill) for h in hard] for name, skill in skills.items()}


def matrix_of(**scores: list[float]) -> ScoreMatrix:
    """The scores of `correlated` as a matrix; the first half of the questions is about maps, the second about math."""
    n = len(next(iter(scores.values())))
    queries = [QueryRef(i, f"k{i}", "maps" if i < n / 2 else "math", "train", 1) for i in range(n)]
    return ScoreMatrix(list(scores), queries, np.array(list(scores.values())).T)


def store_scores(store: Store, folder: Path, scores: dict[str, list[float]], **more: Any) -> None:
    add_experts(store, **dict.fromkeys(scores))
    for name, values in scores.items():
        bring(
            store,
            folder,
            name,
            *({**row, "score": v, **more} for row, v in zip(rows(len(values)), values, strict=True)),
        )


def kinds(findings: list[Finding]) -> list[tuple[str, str | None]]:
    """(kind, expert) of each finding but the questions that no expert is right on, which chance makes."""
    return [(finding.kind, finding.expert) for finding in findings if finding.kind != "never right"]


def scores_of(store: Store) -> list[Any]:
    """Every score with its expert, query and stratum."""
    query = "SELECT expert_id, query_id, stratum_id, value FROM score ORDER BY expert_id, query_id"
    with store.reading() as connection:
        return list(connection.execute(text(query)).all())
