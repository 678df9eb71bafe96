"""A configuration of the LiteLLM proxy (https://github.com/BerriAI/litellm) with an auto-router over a pool.

The auto-router compares a question with example questions of the subjects that each expert wins. That approximates the
labels, and is no router of this program: its accuracy on held-out queries is computed from the stored scores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.characters import one_line
from benchcoe_jobs.domain import Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import TrainingContext
from benchcoe_jobs.routers.embedding import EmbeddingFeatures
from benchcoe_jobs.services.backends import EMBEDDER, Backend, backends, embedder
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.selection import Selection, select
from benchcoe_jobs.services.export.semantic_routes import THRESHOLDS, Routes, make_routes
from benchcoe_jobs.services.export.yaml_text import yaml_text
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.services.labelling.scope import best_single
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted, percent

AUTO = "benchcoe-auto"
"""The model name to ask for, to let the proxy choose."""

_DEFAULT_THRESHOLD = 0.3


@dataclass(frozen=True, slots=True)
class _Scored:
    """Questions of a split, and the scores (n, experts) of the routed experts on them, without NaN."""

    questions: list[Question]
    scores: Floats


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """The accuracy of the auto-router on n held-out queries, with that of the best single expert, and the gain."""

    n: int
    accuracy: float
    best_single: float
    interval: tuple[float, float]


class _LiteLlm:
    options = frozenset({"endpoints", "encoder", "policy"})

    def is_folder(self, request: ExportRequest) -> bool:
        """See `Exporter.is_folder`."""
        return False

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`."""
        endpoints = request.options.get("endpoints", {})
        embedding = embedder(endpoints.get(EMBEDDER))
        with store.reading() as connection:
            selection = select(connection, request)
            winner_of, single = _winners(connection, selection)
            routed = list(dict.fromkeys([single, *sorted(set(winner_of.values()))]))
            served = backends(connection, routed, endpoints)
            questions = catalog.questions(connection, selection.scope.benchmark_id, selection.scope.split)
            if not questions:
                where = f"{selection.scope.benchmark}, split {selection.scope.split}"
                raise UsageError(f"no query of {where}, has a text to compare with")
            scored = {
                split: _scored(connection, selection, routed, split)
                for split in (Split.VALIDATION, Split.TEST)
                if split.value != selection.scope.split
            }
        encoder = request.options.get("encoder")
        features = EmbeddingFeatures(TrainingContext(encoder=encoder, cache=routers.StoredVectors(store)))
        routes = make_routes(questions, _vectors(features, questions), winner_of)
        threshold = _threshold(routes, features, scored.get(Split.VALIDATION), routed)
        held_out = _held_out(routes, features, scored.get(Split.TEST), routed, threshold)
        heading = _heading(selection, held_out)
        with output.create() as file:
            file.write(yaml_text(_config(served, embedding, routes, threshold), heading))
        return _exported(served, routes, threshold, held_out, single)


LITELLM = _LiteLlm()


def _winners(connection: Connection, selection: Selection) -> tuple[dict[str, str], str]:
    """Subject -> the expert of its label, or the best single expert; and the best single expert."""
    single = best_single(connection, selection.scope)
    labels = live_labels.subject_labels(connection, selection.scope, selection.policy)
    return {label.subject: label.expert or single for label in labels}, single


def _scored(connection: Connection, selection: Selection, routed: Sequence[str], split: Split) -> _Scored | None:
    """The questions of a split on which every routed expert has a score; None if there is none."""
    scope = selection.scope
    members = {name: selection.members[name] for name in routed}
    matrix = read_matrix(connection, scope.benchmark_id, members, split.value).complete()
    row_of = {query.id: row for row, query in enumerate(matrix.queries)}
    questions = [q for q in catalog.questions(connection, scope.benchmark_id, split.value) if q.id in row_of]
    return _Scored(questions, matrix.values[[row_of[q.id] for q in questions]]) if questions else None


def _vectors(features: EmbeddingFeatures, questions: Sequence[Question]) -> Floats:
    return np.asarray(features.transform([question.router_input for question in questions]), dtype=np.float64)


def _outcomes(
    routes: Routes, chosen: Any, similarity: Floats, scored: _Scored, routed: Sequence[str], threshold: float
) -> Floats:
    """The score of each question (n,); below the threshold it goes to the best single expert, the first of `routed`."""
    column = np.array([routed.index(expert) for expert in routes.experts])[chosen]
    column[similarity < threshold] = 0
    found: Floats = scored.scores[np.arange(len(column)), column]
    return found


def _threshold(routes: Routes, features: EmbeddingFeatures, scored: _Scored | None, routed: Sequence[str]) -> float:
    """The threshold with the highest accuracy on the validation split; of equal ones the lowest."""
    if scored is None:
        return _DEFAULT_THRESHOLD
    chosen, similarity = routes.choose(_vectors(features, scored.questions))
    return max(
        THRESHOLDS,
        key=lambda value: (_outcomes(routes, chosen, similarity, scored, routed, value).mean(), -value),
    )


def _held_out(
    routes: Routes, features: EmbeddingFeatures, scored: _Scored | None, routed: Sequence[str], threshold: float
) -> _HeldOut | None:
    if scored is None:
        return None
    chosen, similarity = routes.choose(_vectors(features, scored.questions))
    outcomes = _outcomes(routes, chosen, similarity, scored, routed, threshold)
    single = scored.scores[:, 0]
    interval = mean_interval(outcomes - single)
    return _HeldOut(len(outcomes), float(outcomes.mean()), float(single.mean()), interval)


def _config(served: Sequence[Backend], embedding: Backend, routes: Routes, threshold: float) -> dict[str, Any]:
    listed = [
        {
            "name": expert,
            "description": f"questions like those on which {expert} is best",
            "utterances": examples,
            "score_threshold": threshold,
        }
        for expert, examples in zip(routes.experts, routes.examples, strict=True)
    ]
    auto = {
        "model": f"auto_router/{AUTO}",
        "auto_router_config": json.dumps({"routes": listed}, ensure_ascii=False),
        "auto_router_default_model": served[0].expert,
        "auto_router_embedding_model": embedding.expert,
    }
    models = [{"model_name": one.expert, "litellm_params": _parameters(one), **_prices(one)} for one in served]
    embedding_model = {
        "model_name": embedding.expert,
        "litellm_params": _parameters(embedding),
        "model_info": {"mode": "embedding"},
    }
    return {"model_list": [*models, embedding_model, {"model_name": AUTO, "litellm_params": auto}]}


def _parameters(backend: Backend) -> dict[str, Any]:
    """An endpoint without a key is taken for a server of vLLM, to which LiteLLM sends none."""
    if backend.key_env is None:
        return {"model": f"hosted_vllm/{backend.model}", "api_base": backend.url}
    return {"model": f"openai/{backend.model}", "api_base": backend.url, "api_key": f"os.environ/{backend.key_env}"}


def _prices(backend: Backend) -> Mapping[str, Any]:
    prices = {"input_cost_per_token": backend.price_in, "output_cost_per_token": backend.price_out}
    known = {name: price / 1e6 for name, price in prices.items() if price is not None}
    return {"model_info": known} if known else {}


def _stated(held_out: _HeldOut | None, single: str | None = None) -> str:
    if held_out is None:
        return "its accuracy is not known: no query of the test split has a text and a score of every routed expert"
    gain = 100 * (held_out.accuracy - held_out.best_single)
    low, high = (100 * bound for bound in held_out.interval)
    return (
        f"accuracy {percent(held_out.accuracy)} on {held_out.n} held-out queries, {gain:+.1f} points "
        f"[{low:+.1f}, {high:+.1f}] against the best single expert{f', {single}' if single else ''}"
    )


def _heading(selection: Selection, held_out: _HeldOut | None) -> str:
    scope = selection.scope
    return one_line(
        f"benchcoe-jobs export litellm: subject labels of pool {scope.pool.name} on {scope.benchmark}, split "
        f"{scope.split}, policy {selection.policy}. The auto-router approximates them: {_stated(held_out)}"
    )


def _exported(
    served: Sequence[Backend],
    routes: Routes,
    threshold: float,
    held_out: _HeldOut | None,
    single: str,
) -> Exported:
    n = sum(map(len, routes.examples))
    return Exported(
        f"{counted(len(routes.experts), 'route')} with {counted(n, 'example question')} among "
        f"{counted(len(served), 'expert')}; the model to ask for is {AUTO}",
        {
            "model": AUTO,
            "routes": {name: len(rows) for name, rows in zip(routes.experts, routes.examples, strict=True)},
            "default": single,
            "score_threshold": threshold,
            "held_out": None
            if held_out is None
            else {
                "n": held_out.n,
                "accuracy": held_out.accuracy,
                "best_single_accuracy": held_out.best_single,
                "gain_interval": list(held_out.interval),
            },
        },
        (f"the auto-router approximates the labels: {_stated(held_out, single)}",),
    )
