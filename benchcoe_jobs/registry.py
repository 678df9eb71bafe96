"""Plug-ins by name. A plug-in is imported when it is loaded.

The built-in plug-ins are listed here as "module:attribute". Other distributions add theirs under the entry point
groups "benchcoe_jobs.benchmarks", "benchcoe_jobs.engines", "benchcoe_jobs.importers",
"benchcoe_jobs.jobs" and "benchcoe_jobs.routers".
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from benchcoe_jobs.errors import UsageError

_BUILT_IN: dict[str, dict[str, str]] = {
    "benchmarks": {
        "bbh": "benchcoe_jobs.benchmarks.bbh:BigBenchHard",
        "drawings": "benchcoe_jobs.benchmarks.drawings:Drawings",
        "hellaswag": "benchcoe_jobs.benchmarks.hellaswag:HellaSwag",
        "hellaswag-generative": "benchcoe_jobs.benchmarks.generative:HellaSwagGenerative",
        "mmlu-pro": "benchcoe_jobs.benchmarks.mmlu_pro:MmluPro",
        "mmmu": "benchcoe_jobs.benchmarks.mmmu:Mmmu",
        "mmstar": "benchcoe_jobs.benchmarks.mmstar:MmStar",
        "scienceqa": "benchcoe_jobs.benchmarks.scienceqa:ScienceQA",
        "skills": "benchcoe_jobs.benchmarks.skills:Skills",
        "winogrande": "benchcoe_jobs.benchmarks.winogrande:WinoGrande",
        "winogrande-generative": "benchcoe_jobs.benchmarks.generative:WinoGrandeGenerative",
    },
    "engines": {
        "openai": "benchcoe_jobs.engines.endpoints.openai:OpenAIEngine",
        "transformers": "benchcoe_jobs.engines.transformers:TransformersEngine",
        "vllm": "benchcoe_jobs.engines.vllm:VllmEngine",
    },
    "importers": {
        "bbh": "benchcoe_jobs.importers.published.bbh:BBH",
        "bench-coe": "benchcoe_jobs.importers.published.bench_coe:BENCH_COE",
        "embedllm": "benchcoe_jobs.importers.collections.embedllm:EMBEDLLM",
        "every-eval-ever": "benchcoe_jobs.importers.collections.every_eval_ever:EVERY_EVAL_EVER",
        "hellaswag": "benchcoe_jobs.importers.published.hellaswag:HELLASWAG",
        "helm": "benchcoe_jobs.importers.harnesses.helm:HELM",
        "inspect": "benchcoe_jobs.importers.harnesses.inspect_log:INSPECT",
        "lighteval": "benchcoe_jobs.importers.harnesses.lighteval:LIGHTEVAL",
        "llmrouterbench": "benchcoe_jobs.importers.collections.llmrouterbench:LLMROUTERBENCH",
        "lm-eval": "benchcoe_jobs.importers.harnesses.lm_eval:LM_EVAL",
        "lmms-eval": "benchcoe_jobs.importers.harnesses.lmms_eval:LMMS_EVAL",
        "mlflow": "benchcoe_jobs.importers.collections.mlflow:MLFLOW",
        "mmlu-pro": "benchcoe_jobs.importers.published.mmlu_pro:MMLU_PRO",
        "mmmu": "benchcoe_jobs.importers.published.mmmu:MMMU",
        "mmstar": "benchcoe_jobs.importers.published.mmstar:MMSTAR",
        "openai-batch": "benchcoe_jobs.importers.published.openai_batch:OPENAI_BATCH",
        "opencompass": "benchcoe_jobs.importers.collections.opencompass:OPENCOMPASS",
        "promptfoo": "benchcoe_jobs.importers.collections.promptfoo:PROMPTFOO",
        "routerarena": "benchcoe_jobs.importers.collections.routerarena:ROUTERARENA",
        "routerbench": "benchcoe_jobs.importers.collections.routerbench:ROUTERBENCH",
        "scienceqa": "benchcoe_jobs.importers.published.scienceqa:SCIENCEQA",
        "table": "benchcoe_jobs.importers.table:TABLE",
        "vlmevalkit": "benchcoe_jobs.importers.collections.vlmevalkit:VLMEVALKIT",
        "wandb": "benchcoe_jobs.importers.collections.wandb:WANDB",
    },
    "jobs": {
        "batch": "benchcoe_jobs.services.batch.job:BatchJob",
        "evaluate": "benchcoe_jobs.services.evaluation.job:EvaluateJob",
        "profile": "benchcoe_jobs.services.inference.job:ProfileJob",
        "profile-until-settled": "benchcoe_jobs.services.settling.job:SettlingJob",
        "train-router": "benchcoe_jobs.services.training.job:TrainJob",
    },
    "routers": {
        "bert": "benchcoe_jobs.routers.bert:BERT",
        "blend": "benchcoe_jobs.routers.blend:BLEND",
        "cascade": "benchcoe_jobs.routers.cascades.kind:CASCADE",
        "tfidf": "benchcoe_jobs.routers.tfidf:TFIDF",
        "embedding": "benchcoe_jobs.routers.embedding:EMBEDDING",
        "vision": "benchcoe_jobs.routers.vision:VISION",
    },
}


def names(group: str) -> list[str]:
    """All names in a group, sorted."""
    return sorted({*_BUILT_IN[group], *(point.name for point in _plugins(group))})


def load(group: str, name: str) -> Any:
    """Import and return the object with a name. Raises UsageError if there is none."""
    if target := _BUILT_IN[group].get(name):
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)
    for point in _plugins(group):
        if point.name == name:
            return point.load()
    raise UsageError(f"unknown name {name!r} in {group}; known are {', '.join(names(group))}")


def _plugins(group: str) -> Any:
    return _points(f"benchcoe_jobs.{group}", tuple(sys.path))


@cache
def _points(group: str, _path: tuple[str, ...]) -> Any:
    # It reads all distributions on the path, which takes about 20 ms: too slow for each shard of a plug-in's job.
    return entry_points(group=group)
