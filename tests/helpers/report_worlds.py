"""Figures of a report without a store, with hostile names if wanted, and a small store with routers to report on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import export_worlds

from benchcoe_jobs.domain import Level
from benchcoe_jobs.services.evaluation.cost_curve import Frontiers
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.report.figures import Figures
from benchcoe_jobs.services.report.pool import PoolFigures, Ranked, Reached
from benchcoe_jobs.services.report.provenance import Origin, Provenance, Work
from benchcoe_jobs.services.report.routers import Calibration, Stage
from benchcoe_jobs.services.report.subjects import LabelFigures, SubjectFigures
from benchcoe_jobs.services.report.verdict import Answer, Verdict
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.labels.live_labels import QueryLabelCounts
from benchcoe_jobs.store.session import Store

HOSTILE = [
    "<script>globalThis.hacked = 1</script>",
    '"><img src=x onerror="globalThis.hacked = 2">',
    "</script></style></title><svg onload=alert(3)>",
    "{{ 7 * 7 }} {% raw %}",
    "שלום עולם",
    "\u202egnp.exe",
    "x" * 10_000,
    "=HYPERLINK(1)\x1b[31m\x00",
    "a & b < c > d 'e'",
]

RIGHT = {"ann": (1.0, 0.4), "bob": (0.5, 0.9), "eve": (0.2, 0.2)}
"""Expert -> the shares of right answers on law and on math: routing by subject pays."""


def fill(store: Store, home: Path) -> None:
    """Three experts with costs, a router `by-subject` that was evaluated on split test, and one that was not."""
    experts = [export_worlds.endpoint(name, cost=cost) for name, cost in zip(RIGHT, (2.0, 3.0, 1.0), strict=True)]
    export_worlds.fill(store, RIGHT, rows=experts)
    for name in ("by-subject", "other"):
        options: dict[str, Any] = {"kind": "tfidf", "head": None, "pool": "all", "benchmark": None, "split": "train"}
        train_router(store, home, name, level=Level.SUBJECT, max_fallback=0.0, **options)
    evaluate(store, home, "by-subject", benchmark=None, split="test")


def figures(n_experts: int = 29, n_subjects: int = 14, names: list[str] | None = None) -> Figures:
    """Figures by hand. `names` are used in turn wherever a name or a text of others occurs."""
    texts = names or ["an expert of a long family, 70B instruct", "short"]

    def text(number: int) -> str:
        return f"{number} {texts[number % len(texts)]}" if names is None else texts[number % len(texts)]

    experts = [
        Ranked(
            f"{number} {text(number)}",
            3570,
            1.0,
            0.9 - number / 50,
            0.88 - number / 50,
            0.92 - number / 50,
            30.0 - number,
            900.0,
            321.5,
            0.9 - number / 50,
            30.0 - number,
        )
        for number in range(n_experts)
    ]
    subjects = [
        SubjectFigures(
            subject=f"{number} {text(number)}"[:30],
            n_queries=500,
            expert=experts[number % n_experts].expert if number else None,
            mean=0.8,
            n=500,
            margin=0.02,
            tied=1,
            source="measured",
            flip_rate=number / 100,
            is_settled=0 < number <= 5,
            abstains=number == 2,
            means={expert.expert: (7 * row + number) % 100 / 100 for row, expert in enumerate(experts)},
        )
        for number in range(n_subjects)
    ]
    stage = Stage(
        router=text(0),
        level="subject",
        kind="tfidf",
        benchmark=text(1),
        split="test",
        distribution="in distribution",
        n=3500,
        accuracy=0.92,
        best_single=experts[0].expert,
        best_single_accuracy=0.9,
        gain={"value": 0.02, "low": 0.01, "high": 0.03},
        oracle=0.97,
        fell_back=0.1,
        calls={expert.expert: 1 / n_experts for expert in experts},
        cost=20.0,
        best_single_cost=30.0,
        curve=[(5.0, 0.6), (20.0, 0.92)],
        frontiers=Frontiers(
            {"value": 0.6, "low": 0.5, "high": 0.7}, 0.8, 0.75, {"value": 0.05, "low": 0.04, "high": 0.06}, [], []
        ),
        warnings=[text(2), "a note."],
        is_current=False,
    )
    return Figures(
        pool=text(3),
        benchmark=text(1),
        made_at="2026-01-02T03:04:05+00:00",
        verdict=Verdict(Answer.MORE_ACCURATE, f"Routing pays: router {text(0)[:200]} gains.", "A caveat."),
        stages=[stage],
        experts=PoolFigures(
            "test",
            3500,
            experts[0].expert,
            experts,
            [Reached("a random expert", 0.5, 0.48, 0.52), Reached("the oracle", 0.97, 0.96, 0.98)],
            [experts[-1].expert, experts[0].expert],
        ),
        labels=LabelFigures("train", subjects, QueryLabelCounts(7000, {experts[0].expert: 6900}, 5000, 100)),
        calibrations=[Calibration(text(0), 0.3, 0.001, -0.002, -0.01, 4000)],
        findings=[
            {"severity": "error", "expert": text(4), "what": text(5), "command": text(6)},
            {"severity": "note", "expert": None, "what": text(7), "command": text(8)},
        ],
        changes=None,
        jobs=[Work(1, "evaluate", text(0), "done", "2026-01-02T03:04:05+00:00", 10, 0, 1, 2.5, 3.0)],
        provenance=Provenance(
            "0.3.0",
            "f" * 64,
            0.95,
            {"train": 7000, "test": 3570},
            [{"expert": text(0), "engine": "openai", "model": text(5), "revision": None}],
            [Origin("import-1", text(6), "e" * 64, "2026-01-02T03:04:05+00:00")],
            [f"benchcoe-jobs report --pool {text(0)}"],
        ),
    )
