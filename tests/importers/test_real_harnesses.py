"""Tiny runs of lm-evaluation-harness and inspect_ai: their files are imported, and the means are the tools' own.

The tools are in an environment of their own, which `make test-harnesses` creates: they would double the packages of
this one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from console import Cli
from console import run as run_command
from harness_tools import tool

TASK = """task: toy_{name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/{name}.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc
  - metric: acc_norm
"""
GROUP = """group: toy
task: [toy_rivers, toy_metals]
aggregate_metric_list:
  - metric: acc
    weight_by_size: true
"""
QUIZ = """import json
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import match
from inspect_ai.solver import generate

samples = [
    Sample(id=n, input=f"How many are {n}?", target=str(n % 3), metadata={"subject": "odd" if n % 2 else "even"})
    for n in range(9)
]
answers = [ModelOutput.from_content("mockllm/model", text) for text in ["0", "1", "1"] * 6]
for answer in answers:
    answer.usage = ModelUsage(input_tokens=5, output_tokens=1, total_tokens=6)  # else a tokenizer is downloaded
model = get_model("mockllm/model", custom_outputs=answers)
task = Task(name="quiz", dataset=samples, solver=generate(), scorer=match())
[log] = eval(task, model=model, epochs=2, log_dir="logs", display="none", max_connections=1, max_samples=1)
print(json.dumps({"accuracy": log.results.scores[0].metrics["accuracy"].value, "location": log.location}))
"""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    assert run_command("init", capsys=capsys).code == 0
    return lambda line: run_command(line, capsys=capsys)


def means(cli: Cli, benchmark: str) -> dict[str, float]:
    """The mean of each subject over its queries, from the table that `export` writes."""
    assert cli("export table --what scores --benchmark " + benchmark + " --out scores.jsonl").code == 0
    rows: list[dict[str, Any]] = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["subject"], []).append(float(row["score"]))
    return {subject: sum(scores) / len(scores) for subject, scores in found.items()}


def test_lm_eval(cli: Cli, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "toy.yaml").write_text(GROUP)
    for name in ("rivers", "metals"):
        rows = [
            {"question": f"Which of the {name} is number {n}?", "choices": [*"abcd"], "answer": n % 4} for n in range(8)
        ]
        (tasks / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        (tasks / f"toy_{name}.yaml").write_text(TASK.format(name=name, folder=tasks))
    options = ["--model", "dummy", "--model_args", "pretrained=org/toy", "--tasks", "toy", "--include_path", str(tasks)]
    tool("lm_eval", *options, "--output_path", "out", "--log_samples", folder=tmp_path)

    assert cli("import-results all out --create-experts --json").json["scored"] == {"org/toy": 16}
    [summary] = (tmp_path / "out" / "org__toy").glob("results_*.json")
    results = json.loads(summary.read_text())["results"]
    stated = {task: results[task]["acc,none"] for task in ("toy_rivers", "toy_metals")}
    assert means(cli, "toy") == pytest.approx(stated)

    results["toy_rivers"]["acc,none"] += 0.25
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "results": results}))
    refused = cli("import-results all out --create-experts")
    assert refused.code == 1
    assert "mean of" in refused.err


def test_inspect(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "quiz.py").write_text(QUIZ)
    stated = json.loads(tool("python", "quiz.py", folder=tmp_path).splitlines()[-1])
    found = cli("import-results all logs --create-experts --json").json
    assert found["scored"] == {"mockllm/model": 9}
    by_subject = means(cli, found["benchmarks"][0])
    assert set(by_subject) == {"odd", "even"}
    assert 0 < stated["accuracy"] < 1
    assert (4 * by_subject["odd"] + 5 * by_subject["even"]) / 9 == pytest.approx(stated["accuracy"])
