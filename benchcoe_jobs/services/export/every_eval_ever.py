"""The format of every_eval_ever 0.3.0 (https://github.com/evaleval/every_eval_ever).

Each expert has an aggregate with one result per subject, and a file with one line per query. The standard error of a
subject's mean is the standard deviation of its scores divided by the square root of their number.
"""

from __future__ import annotations

import hashlib
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import __version__
from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.backends import slug
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.json_text import json_document, json_line
from benchcoe_jobs.services.export.scored import scored_queries
from benchcoe_jobs.services.export.selection import Selection, select
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.scored_rows import ScoredRow
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_SCHEMA = "0.3.0"
_RUN_HERE = ("transformers", "vllm")


class _EveryEvalEver:
    options: frozenset[str] = frozenset()

    def is_folder(self, request: ExportRequest) -> bool:
        """See `Exporter.is_folder`."""
        return True

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`."""
        now = int(time.time())
        n_files = n_lines = 0
        with store.reading() as connection:
            selection = select(connection, request)
            for name in selection.members:
                if n := _write_expert(connection, selection, name, now, output):
                    n_files, n_lines = n_files + 1, n_lines + n
            if not n_files:
                raise UsageError(f"no expert of pool {selection.scope.pool.name!r} has a score on {_where(selection)}")
        return Exported(
            f"{counted(n_lines, 'score')} of {counted(n_files, 'expert')} on {_where(selection)}",
            {"experts": n_files, "scores": n_lines},
        )


EVERY_EVAL_EVER = _EveryEvalEver()


@dataclass(slots=True)
class _Sums:
    """The number, the sum and the sum of squares of the scores of a subject."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, score: float) -> None:
        self.n, self.total, self.squares = self.n + 1, self.total + score, self.squares + score * score

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def deviation(self) -> float | None:
        if self.n < 2:
            return None
        return math.sqrt(max(0.0, self.squares - self.total * self.mean) / (self.n - 1))


def _write_expert(connection: Connection, selection: Selection, name: str, now: int, output: Output) -> int:
    """Write the two files of an expert. Returns the number of its scores; without any, nothing is written."""
    scope = selection.scope
    expert_id, expert = experts.read_expert(connection, name)
    rows = scored_queries(connection, scope.benchmark_id, expert_id, selection.split)
    first = next(rows, None)
    if first is None:
        return 0
    evaluation = f"{scope.benchmark}/{name}/{now}"
    developer, _, model = _model_id(expert).rpartition("/")
    stem = uuid.uuid4()
    folder = "/".join(["data", *(slug(part) or "unknown" for part in (scope.benchmark, developer, model))])
    sums: dict[str, _Sums] = {}
    digest = hashlib.sha256()
    with output.create(f"{folder}/{stem}_samples.jsonl") as file:
        for row, query in chain([first], rows):
            digest.update(line := json_line(_sample(selection, expert, evaluation, row, query)))
            file.write(line)
            sums.setdefault(row.subject, _Sums()).add(row.score)
    n = sum(of_subject.n for of_subject in sums.values())
    aggregate = _aggregate(selection, expert, evaluation, now, sums)
    aggregate["detailed_evaluation_results"] = {
        "format": "jsonl",
        "file_path": f"{folder}/{stem}_samples.jsonl",
        "hash_algorithm": "sha256",
        "checksum": digest.hexdigest(),
        "total_rows": n,
    }
    with output.create(f"{folder}/{stem}.json") as file:
        file.write(json_document(aggregate))
    return n


def _model_id(expert: ExpertRow) -> str:
    """The name of the model on the hub; the name of the expert if it is not run from there."""
    is_of_hub = expert.engine in _RUN_HERE and expert.model is not None and not expert.model.startswith("/")
    return str(expert.model) if is_of_hub else expert.name


def _sample(selection: Selection, expert: ExpertRow, evaluation: str, row: ScoredRow, query: Query) -> dict[str, Any]:
    reference = [] if query.answer is None else [query.answer]
    sample: dict[str, Any] = {
        "schema_version": _SCHEMA,
        "evaluation_id": evaluation,
        "model_id": _model_id(expert),
        "evaluation_name": _name(selection, row.subject),
        "evaluation_result_id": _name(selection, row.subject),
        "sample_id": row.key,
        "sample_hash": hashlib.sha256("".join([query.text, *reference]).encode("utf-8", "surrogatepass")).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": query.text, "reference": reference, "choices": list(query.choices) or None},
        "output": {"raw": [row.response or ""]},
        "answer_attribution": [],
        "evaluation": {"score": row.score, "is_correct": row.score >= 1.0},
        "metadata": {"subject": row.subject, "split": row.split},
    }
    if row.rule is not None:
        sample["answer_attribution"] = [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": row.answer or "",
                "extraction_method": row.rule,
                "is_terminal": True,
            }
        ]
    if row.prompt_tokens is not None and row.completion_tokens is not None:
        sample["token_usage"] = {
            "input_tokens": row.prompt_tokens,
            "output_tokens": row.completion_tokens,
            "total_tokens": row.prompt_tokens + row.completion_tokens,
        }
    if row.latency_s is not None:
        sample["performance"] = {"latency_ms": 1000 * row.latency_s}
    return sample


def _aggregate(
    selection: Selection, expert: ExpertRow, evaluation: str, now: int, sums: Mapping[str, _Sums]
) -> dict[str, Any]:
    model_id = _model_id(expert)
    info = {"name": expert.name, "id": model_id}
    if developer := model_id.rpartition("/")[0]:
        info["developer"] = developer
    details = {
        "deployment_type": "self_deployed" if expert.engine in _RUN_HERE else "unknown",
        "model_availability": "unknown",
    }
    return {
        "schema_version": _SCHEMA,
        "evaluation_id": evaluation,
        "retrieved_timestamp": str(now),
        "source_metadata": {
            "source_name": "a store of benchcoe-jobs",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "benchcoe-jobs", "version": __version__},
        "model_info": {**info, "additional_details": details},
        "evaluation_results": [_result(selection, subject, sums[subject]) for subject in sorted(sums)],
    }


def _result(selection: Selection, subject: str, sums: _Sums) -> dict[str, Any]:
    uncertainty: dict[str, Any] = {"num_samples": sums.n}
    if (deviation := sums.deviation) is not None:
        uncertainty["standard_deviation"] = deviation
        uncertainty["standard_error"] = {"value": deviation / math.sqrt(sums.n), "method": "analytic"}
    return {
        "evaluation_result_id": _name(selection, subject),
        "evaluation_name": _name(selection, subject),
        "source_data": {
            "dataset_name": selection.scope.benchmark,
            "source_type": "other",
            "additional_details": {"subject": subject, "split": selection.split or "all"},
        },
        "metric_config": {
            "metric_id": "accuracy",
            "metric_name": "accuracy",
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {"score": sums.mean, "uncertainty": uncertainty},
    }


def _name(selection: Selection, subject: str) -> str:
    return f"{selection.scope.benchmark}.{subject}"


def _where(selection: Selection) -> str:
    return selection.scope.benchmark + (f", split {selection.split}" if selection.split else "")
