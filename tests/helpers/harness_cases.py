"""Samples of the formats of harnesses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from import_case import Case
from needs import SHARED_DATA

from benchcoe_jobs.importers.base import ReadOptions


def rows_of_bench_coe(folder: Path) -> Path:
    rows = [
        {
            "id": f"q{n}",
            "input_sentence": f"Ann {n} met Eve as _ was kind.",
            "options": ["Ann", "Eve"],
            "target_answer": "2",
            "category": "0",
            "model_output": f"The answer is {1 + n % 2}.",
        }
        for n in range(4)
    ]
    path = folder / "winogrande_10-27_23-13.json"
    path.write_text(json.dumps(rows))
    return path


def stating_another(file: str, mean: str) -> Callable[[Path], None]:
    """A change of a mean in the files of a sample whose names match."""

    def change(path: Path) -> None:
        for found in [path] if path.is_file() else path.rglob(file):
            content = found.read_text()
            assert mean in content
            found.write_text(content.replace(mean, "0.91"))

    return change


def without_samples(path: Path) -> None:
    """Leave a log of inspect as it is if samples are not logged."""
    path.write_text(json.dumps(json.loads(path.read_text()) | {"samples": None}))


def of_logs(name: str) -> Callable[[Path], object]:
    """Put another log in place of the sample."""
    return lambda path: shutil.copyfile(SHARED_DATA / "formats" / "inspect" / name, path)


TOY = "6v8uqx97"
HELM_RUN = "mmlu-subject=philosophy,method=multiple_choice_joint,model=openai_gpt2"
MATH_MODEL = "RylanSchaeffer/mem_Qwen3-93M_minerva_math_rep_0_sbst_1.0000_epch_1_ot_1"
UNSCORED = "2025-02-11T15-17-00-05-00_popularity_dPiJifoWeEQBrfWsAopzWr.eval"
GENERATED = "inspect-generated/2026-11-28T04-16"
HARNESS_CASES = [
    Case("bench-coe", rows_of_bench_coe, {(None, "coreference"): (4, 0.5)}),
    Case(
        "helm",
        f"helm/{HELM_RUN}",
        {("openai/gpt2", "mmlu:philosophy"): (9, 0.1111)},
        refused={
            "mean of": stating_another("stats.json", "0.1111111111111111"),
            "run_spec.json: no such file": lambda path: (path / "run_spec.json").unlink(),
        },
    ),
    Case(
        "inspect",
        "inspect/log_formats.eval",
        {("ollama/llama3.1", "popularity"): (1, 0.0)},
        refused={"'inspect score' scores a log": of_logs(UNSCORED)},
    ),
    Case("inspect", "inspect/log_read_sample.eval", {("ollama/gemma3", "popularity"): (1, 1.0)}),
    Case("inspect", "inspect/mmlu-no-summary-choices.eval", {("openai/gpt-4o", "mmlu_0_shot"): (1, 0.0)}),
    Case("inspect", "inspect/log_images.json", {("openai/gpt-4o", "images"): (1, 0.0)}),
    Case(
        "inspect",
        "inspect/2025-05-12T20-28-13-04-00_popularity.json",
        {("openai/gpt-4o-mini", "popularity"): (3, 0.6667)},
    ),
    Case(
        "inspect",
        "inspect/eee_data_arc_qwen.json",
        {("ollama/qwen2.5:0.5b", "arc_easy"): (3, 0.3333)},
        refused={
            "mean of": stating_another("*", "0.3333333333333333"),
            "the log has no samples": without_samples,
        },
    ),
    Case(
        "inspect",
        f"{GENERATED}-18-00-00_toy-mcq_2WLnHsfs7dpTe4PxUV7LJY.eval",
        {("mockllm/model", "toy_mcq"): (6, 0.3333)},
    ),
    Case(
        "inspect",
        f"{GENERATED}-21-00-00_toy-two-scorers_YG27FLLxZoDQ5kboLyXwAx.eval",
        {("mockllm/model", "toy_two_scorers"): (4, 0.0)},
    ),
    Case(
        "lighteval",
        "lighteval",
        {("toy-model", "toy:metals|0"): (12, 0.1667), ("toy-model", "toy:rivers|0"): (12, 0.1667)},
        refused={"mean of": stating_another("results_*.json", "0.16666666666666666")},
    ),
    Case(
        "lm-eval",
        f"lm-eval-generated/{TOY}",
        {(TOY, "toy_metals"): (12, 0.1667), (TOY, "toy_rivers"): (12, 0.3333), (TOY, "toy_sums"): (10, 0.0)},
        refused={"mean of": stating_another("results_*.json", "0.3333333333333333")},
    ),
    Case(
        "lm-eval",
        "lm-eval-current",
        {(MATH_MODEL, "math_perturbed_full"): (10, 0.0)},
        refused={"--log_samples": lambda path: [found.unlink() for found in path.glob("samples_*")]},
    ),
    Case(
        "lm-eval",
        "constructed/lm-eval-0.4.2",
        {("toy/model", "toy_metals"): (12, 0.25)},
        ReadOptions(metric="acc_norm"),
    ),
    Case(
        "lmms-eval",
        "constructed/lmms-eval",
        {("toy/vlm", "toy_mc"): (12, 0.3333)},
        refused={"mean of": stating_another("*_results.json", "0.3333333333333333")},
    ),
]
