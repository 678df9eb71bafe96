"""lmms-eval with pictures through a service equals `evaluate` of the same router that looks, question by question.

The experts are those of the demo that see, and the command is that of docs/serving.md. `make test-lmms` installs
lmms-eval and runs this.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import demo_endpoint
import pytest
import running_service
from console import run
from harness_tools import LMMS, tool
from served_rows import newest_evaluation

from benchcoe_jobs.demo.pictures import STARTERS
from benchcoe_jobs.demo.pictures.questions import write_pictures

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")

TASK = """task: drawn
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/held_out.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function pictures.picture
doc_to_text: question
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 8, until: ["\\n"]}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
filter_list:
  - name: line
    filter: [{{function: regex, regex_pattern: '^\\s*(.*?)\\s*$'}}, {{function: take_first}}]
"""
PICTURES = """from PIL import Image
def picture(doc):
    return [Image.open(doc["image"]).convert("RGB")]
"""


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if not (LMMS / "lmms-eval").exists():
        tool("lmms-eval", folder=tmp_path, tools=LMMS)  # skips, or fails where it must be installed
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "sqlite:///b.db")
    monkeypatch.setenv("BENCHCOE_HOME", "home")
    write_pictures(tmp_path / "drawings", 15)
    rows = [json.loads(line) for line in (tmp_path / "drawings" / "questions.jsonl").read_text().splitlines()]
    with demo_endpoint.serving(STARTERS) as experts:
        endpoint = f"--engine openai --base-url {experts}"
        for line in (
            "init",
            "add-benchmark drawings drawings",
            *(f"add-expert {name} --model {name} {endpoint}" for name in STARTERS),
            "train-router by-picture --level subject --kind vision",
            "evaluate by-picture",
        ):
            assert run(line, capsys).code == 0, line
        decisions = newest_evaluation("sqlite:///b.db", "drawings")
        (tmp_path / "task").mkdir()
        held_out = [
            {**row, "image": str(tmp_path / "drawings" / row["image"])} for row in rows if row["id"] in decisions
        ]
        (tmp_path / "task" / "held_out.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in held_out))
        (tmp_path / "task" / "drawn.yaml").write_text(TASK.format(folder=tmp_path / "task"))
        (tmp_path / "task" / "pictures.py").write_text(PICTURES)
        with running_service.running() as url:
            [command] = re.findall(r"^(lmms-eval --model .+?)^```", PAGE, re.MULTILINE | re.DOTALL)
            command = command.replace("\\\n", " ").replace("http://127.0.0.1:8900", url)
            program, *words = shlex.split(command.replace("TASK", "drawn"))
            options = ["--include_path", "task", "--output_path", "out", "--log_samples"]
            tool(program, *words, *options, folder=tmp_path, tools=LMMS)
    [file] = (tmp_path / "out").rglob("*samples_drawn.jsonl")
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(samples) == len(decisions) > 25
    assert {held_out[sample["doc_id"]]["id"]: sample["exact_match"] for sample in samples} == {
        key: decision.score for key, decision in decisions.items()
    }
    assert len({decision.expert for decision in decisions.values()}) > 1
