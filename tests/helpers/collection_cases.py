"""Samples of the formats of collections, of routers and of tables that other programs log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from import_case import Case


def rows_of_routerarena(folder: Path) -> Path:
    rows = [
        {
            "global_index": f"AIME_{n}",
            "question": f"How many are {n}?",
            "llm_selected": "ann",
            "generated_answer": "four",
            "token_usage": {"input_tokens": 3, "output_tokens": 1},
            "evaluation_result": {"ground_truth": "4", "score": n / 4, "metric": "meteor_score"},
        }
        for n in range(4)
    ]
    path = folder / "ann.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def table_of_mlflow(folder: Path) -> Path:
    columns = ["inputs", "outputs", "ground_truth", "toxicity/v1/score", "answer_similarity/v1/score"]
    data = [[f"How many are {n}?", "four", "4", 0.0, n + 1] for n in range(5)]
    path = folder / "eval_results_table.json"
    path.write_text(json.dumps({"columns": columns, "data": data}))
    return path


def results_of_promptfoo(folder: Path) -> Path:
    rows = [
        {
            "testIdx": n,
            "promptIdx": 0,
            "provider": {"id": "openai:ann", "label": "ann"},
            "prompt": {"raw": f"How many are {n}?", "label": "prompt"},
            "score": n % 2,
            "success": n % 2 == 1,
            "response": {"output": "4"},
            "testCase": {"assert": [{"type": "equals", "value": "4"}]},
        }
        for n in range(4)
    ]
    metrics = {"score": 2, "testPassCount": 2, "testFailCount": 2}
    inner = {"version": 3, "prompts": [{"provider": "ann", "metrics": metrics}], "results": rows}
    path = folder / "quiz.json"
    path.write_text(json.dumps({"evalId": "e", "results": inner}))
    return path


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Replace a text in a file of a sample."""

    def change(path: Path) -> None:
        changed = path / file if path.is_dir() else path
        assert old in changed.read_text()
        changed.write_text(changed.read_text().replace(old, new))

    return change


MODEL_A = "bench/toy/test/model-a/toy-test-model-a"
MIXTRAL, GPT_4 = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
AGGREGATE = "f3a1c0de-4b2e-4c1a-9f6d-1b7e5a2c8d40"
EVERY_EVAL_EVER = "every-eval-ever/skill_reference_conversion/data/demo-source/demo-org/demo-model"
COLLECTION_CASES = [
    Case(
        "embedllm",
        "constructed/embedllm_long.csv",
        {
            (f"org/model-{model}", subject): (5, float((subject == "rivers") == (model == 1)))
            for model in range(3)
            for subject in ("rivers", "metals")
        },
        refused={"--scale percent": replaced("embedllm_long.csv", ",rivers,1", ",rivers,50")},
    ),
    Case(
        "every-eval-ever",
        EVERY_EVAL_EVER,
        {("demo-org/demo-model", "demo-source.demo_bench"): (1, 1.0)},
        refused={
            "mean of": replaced(
                f"{AGGREGATE}.json", '"score": 0.75', '"score": 0.75, "uncertainty": {"num_samples": 1}'
            ),
            "changed or cut": replaced(f"{AGGREGATE}_samples.jsonl", '"is_correct": true', '"is_correct": false'),
            "import-scores": lambda path: (path / f"{AGGREGATE}_samples.jsonl").unlink(),
        },
    ),
    Case(
        "llmrouterbench",
        "constructed/llmrouterbench",
        {("model-a", "toy/test"): (10, 1.0), ("model-b", "toy/test"): (10, 0.5)},
        refused={"mean of": replaced(f"{MODEL_A}-20261128_041500.json", '"performance": 1.0', '"performance": 0.9')},
    ),
    Case(
        "mlflow",
        table_of_mlflow,
        {(None, "mlflow"): (5, 0.5)},
        refused={"are from 1 to 5": replaced("eval_results_table.json", ", 4]", ", 4.5]")},
    ),
    Case(
        "opencompass",
        "constructed/opencompass",
        {("toy-model", "toy_bench_rivers"): (10, 0.5)},
        refused={
            "mean of": replaced("results/toy-model/toy_bench_rivers.json", '"accuracy": 50.0', '"accuracy": 40.0'),
            "results of two runs": replaced(
                "predictions/toy-model/toy_bench_rivers_1.json", '"prediction": "B"', '"prediction": "C"'
            ),
            "--dump-eval-details": replaced("results/toy-model/toy_bench_rivers.json", '"details"', '"detail"'),
        },
    ),
    Case(
        "promptfoo",
        results_of_promptfoo,
        {("ann", "prompt 0"): (4, 0.5)},
        refused={
            "mean of": replaced("quiz.json", '"metrics": {"score": 2', '"metrics": {"score": 3'),
            "it has no assertion": replaced("quiz.json", '"assert"', '"other"'),
        },
    ),
    Case(
        "routerarena",
        rows_of_routerarena,
        {("ann", "AIME"): (4, 0.375)},
        refused={"is not between 0 and 1": replaced("ann.jsonl", "0.75", "75")},
    ),
    Case(
        "routerbench",
        "constructed/routerbench_wide.csv",
        {
            ("gpt-x", "toy-metals"): (6, 0.75),
            ("gpt-x", "toy-rivers"): (6, 0.75),
            ("mistral-y", "toy-metals"): (6, 0.0),
            ("mistral-y", "toy-rivers"): (6, 1.0),
        },
        refused={"--scale percent": replaced("routerbench_wide.csv", ",0.25,", ",25,")},
    ),
    Case(
        "routerbench",
        "routellm-csv/mmlu_abstract_algebra.csv",
        {(MIXTRAL, "abstract_algebra"): (100, 0.32), (GPT_4, "abstract_algebra"): (100, 0.46)},
    ),
    Case(
        "routerbench",
        "constructed/sprout/test-00000-of-00001.parquet",
        {("openai-gpt-4o-mini", "toy"): (10, 0.5), ("wxai-llama-3-1-8b-instruct", "toy"): (10, 0.5)},
    ),
    Case(
        "vlmevalkit",
        "constructed/vlmevalkit",
        {("toy", "TOYBench, split dev"): (12, 0.3333)},
        refused={
            "mean of": lambda path: (path / "toy_TOYBench_acc.csv").write_text("split,Overall\ndev,0.5\n"),
            "answers without scores": lambda path: (path / "toy_TOYBench_exact_matching_result.xlsx").unlink(),
        },
    ),
    Case(
        "wandb",
        "wandb/eval_table.table.json",
        {(None, "rivers"): (8, 0.5)},
        refused={"--metric NAME": replaced("eval_table.table.json", '"correct"', '"right"')},
    ),
]
