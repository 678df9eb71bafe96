"""A configuration of vLLM semantic-router (https://github.com/vllm-project/semantic-router), version 0.4.

Each subject label becomes a decision: questions of its category go to the best expert. All other questions go to the
best single expert. With --training, the lines that its own script trains a query-level selection on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.characters import one_line
from benchcoe_jobs.domain import Level, router_text
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.backends import Backend, backends, slug, slugs
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.categories import Categories, Category, read_categories
from benchcoe_jobs.services.export.json_text import json_line
from benchcoe_jobs.services.export.scored import scored_queries
from benchcoe_jobs.services.export.selection import Selection, select
from benchcoe_jobs.services.export.yaml_text import yaml_text
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_HIGHEST = 0.999
"""A score of 1.0 means to vLLM semantic-router that there is none."""


class _VllmSr:
    options = frozenset({"map", "endpoints", "training", "policy"})

    def is_folder(self, request: ExportRequest) -> bool:
        """See `Exporter.is_folder`."""
        return False

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`."""
        with store.reading() as connection:
            selection = select(connection, request)
            mapping = request.options.get("map", {})
            if request.options.get("training"):
                return _write_training(connection, selection, mapping, output)
            found = read_categories(connection, selection, mapping)
            served = backends(connection, found.routed, request.options.get("endpoints", {}))
            slugs(found.routed)
        config = _config(selection, found, served)
        with output.create() as file:
            file.write(yaml_text(config, _heading(selection)))
        return Exported(
            f"{counted(len(found.decided), 'decision')} among {counted(len(served), 'expert')}, "
            f"all other questions to {found.best_single}",
            {
                "decisions": {category.name: category.winner for category in found.decided},
                "default": found.best_single,
                "left_to_default": found.left_to_default,
            },
            tuple(_notes(selection, found)),
        )


VLLM_SR = _VllmSr()


def _notes(selection: Selection, found: Categories) -> Iterator[str]:
    if found.left_to_default:
        yield f"no decision for {', '.join(found.left_to_default)}: left to {found.best_single}, the best single expert"
    if selection.router is not None and selection.router.level == Level.QUERY:
        yield (
            f"router {selection.router.name} decides by question, and this configuration by subject: "
            "--training writes what vLLM semantic-router trains its own selection on"
        )


def _heading(selection: Selection) -> str:
    scope = selection.scope
    return one_line(
        f"benchcoe-jobs export vllm-sr: subject labels of pool {scope.pool.name} on {scope.benchmark}, "
        f"split {scope.split}, policy {selection.policy}"
    )


def _config(selection: Selection, found: Categories, served: list[Backend]) -> dict[str, Any]:
    name_of = {backend.expert: backend.name for backend in served}
    best = name_of[found.best_single]
    default = {
        "name": "best-single",
        "description": f"all other questions: the best single expert, {found.best_single}",
        "priority": 0,
        "rules": {"operator": "AND", "conditions": []},
        "modelRefs": [{"model": best, "use_reasoning": False}],
    }
    decisions = [_decision(category, name_of, best) for category in found.decided]
    return {
        "version": "v0.3",
        "listeners": [{"name": "http-8899", "address": "127.0.0.1", "port": 8899, "timeout": "300s"}],
        "providers": {"defaults": {"model": best}, "models": [_provider(backend) for backend in served]},
        "routing": {
            "strategy": "priority",
            "modelCards": [
                {"name": backend.name, "description": backend.expert, "capabilities": ["chat"], "modality": "ar"}
                for backend in served
            ],
            "signals": {"domains": [_domain(category, name_of) for category in found.decided]},
            "decisions": [*decisions, default],
        },
        "evaluation": _evaluation(selection, found, name_of),
    }


def _provider(backend: Backend) -> dict[str, Any]:
    reference = {"name": f"{backend.name}-1", "base_url": backend.url, "provider": "openai", "weight": 1}
    if backend.key_env:
        reference["api_key_env"] = backend.key_env
    provider: dict[str, Any] = {
        "name": backend.name,
        "provider_model_id": backend.model,
        "api_format": "openai",
        "backend_refs": [reference],
    }
    prices = {"prompt_per_1m": backend.price_in, "completion_per_1m": backend.price_out}
    if known := {name: price for name, price in prices.items() if price is not None}:
        provider["pricing"] = {"currency": "USD", **known}
    return provider


def _domain(category: Category, name_of: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": slug(category.name),
        "description": category.description,
        "mmlu_categories": [category.name],
        "model_scores": [
            {"model": name_of[expert], "score": min(round(mean, 4), _HIGHEST), "use_reasoning": False}
            for expert, mean in category.means.items()
        ],
    }


def _decision(category: Category, name_of: Mapping[str, str], best: str) -> dict[str, Any]:
    winner = name_of[category.winner]
    return {
        "name": slug(category.name),
        "description": f"{category.name}: {category.winner}, {category.description}",
        "priority": 100,
        "rules": {"operator": "AND", "conditions": [{"type": "domain", "name": slug(category.name)}]},
        "modelRefs": [{"model": name, "use_reasoning": False} for name in dict.fromkeys([winner, best])],
        "algorithm": {"type": "static"},  # the first model of modelRefs
    }


def _evaluation(selection: Selection, found: Categories, name_of: Mapping[str, str]) -> dict[str, Any]:
    scope = selection.scope
    benchmark = f"benchcoe/{slug(scope.benchmark) or 'benchmark'}@1.0.0"
    profile = {"id": scope.split, "display_name": f"split {scope.split}", "description": f"split {scope.split}"}
    accuracy = {"id": "accuracy", "unit": "fraction", "direction": "higher_is_better", "range": [0, 1]}
    return {
        "benchmarks": [
            {
                "id": benchmark,
                "display_name": scope.benchmark,
                "domain": "knowledge",
                "source": f"benchcoe-jobs, pool {scope.pool.name}",
                "default_profile": scope.split,
                "profiles": [profile],
                "metrics": [accuracy],
            }
        ],
        "records": [
            {
                "model": name_of[expert],
                "benchmark": benchmark,
                "benchmark_profile": scope.split,
                "metrics": {"accuracy": round(mean, 4)},
                "source": "benchcoe-jobs",
            }
            for expert, mean in found.overall.items()
        ],
    }


def _write_training(
    connection: Connection, selection: Selection, mapping: Mapping[str, str], output: Output
) -> Exported:
    """The scores of a split as the lines that vLLM semantic-router's script for its selection of models reads."""
    scope = selection.scope
    found = read_categories(connection, selection, mapping)
    slugs(selection.members)
    n_lines = n_timeless = 0
    numbers: dict[int, int] = {}
    without_text: set[int] = set()
    with output.create() as file:
        for expert, expert_id in selection.members.items():
            for row, query in scored_queries(connection, scope.benchmark_id, expert_id, scope.split):
                if not query.text:
                    without_text.add(row.query_id)
                    continue
                line = {
                    "query": router_text(query.text, query.choices),
                    "model_name": slug(expert),
                    "response": row.response or "",
                    "performance": row.score,
                    "response_time": row.latency_s or 0.0,
                    "category": found.category_of[row.subject],
                    "embedding_id": numbers.setdefault(row.query_id, len(numbers)),
                }
                n_lines, n_timeless = n_lines + 1, n_timeless + (row.latency_s is None)
                file.write(json_line(line))
        if not n_lines:
            raise UsageError(f"no query of {scope.benchmark}, split {scope.split}, has a text and a score")
    notes = []
    if without_text:
        notes.append(f"{counted(len(without_text), 'query', 'queries')} without a text are left out")
    if n_timeless:
        notes.append(f"the response time of {counted(n_timeless, 'line')} is unknown and written as 0")
    return Exported(
        f"{counted(n_lines, 'line')} of {counted(len(numbers), 'query', 'queries')} of {scope.benchmark}, "
        f"split {scope.split}",
        {"lines": n_lines, "queries": len(numbers)},
        tuple(notes),
    )
