"""lm-eval through a service equals `evaluate` of the same router, question by question.

Clients send questions, and the server of the experts puts them into the prompt of the benchmark, as a chat template
does. The experts are those of the demo. The commands of lm-eval are those of
docs/serving.md. `make test-harnesses` installs lm-eval and runs this.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_endpoint
import pytest
import running_service
from console import run
from harness_tools import TOOLS, tool
from served_rows import newest_evaluation
from sqlalchemy import select

from benchcoe_jobs.demo import STARTERS
from benchcoe_jobs.demo.questions import write_questions
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing.evaluations import StoredDecision
from benchcoe_jobs.store.routing.tables import ServedDecision
from benchcoe_jobs.store.session import open_store

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")

TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/held_out.jsonl}}}}
test_split: test
doc_to_target: answer
"""
GENERATED = """output_type: generate_until
doc_to_text: question
generation_kwargs: {until: ["\\n"], max_gen_toks: 24}
metric_list: [{metric: exact_match}]
filter_list:
  - name: line
    filter: [{function: regex, regex_pattern: '^\\s*(.*?)\\s*$'}, {function: take_first}]
"""
CHOSEN = """output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: choices
metric_list: [{metric: acc}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lm_eval")


@pytest.fixture
def experts_url(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """The address of the experts; the first test profiles them, and trains and evaluates the router."""
    if not (TOOLS / "lm_eval").exists():
        tool("lm_eval", folder=folder)  # skips, or fails where it must be installed
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "sqlite:///b.db")
    monkeypatch.setenv("BENCHCOE_HOME", "home")
    with demo_endpoint.serving(STARTERS) as url:
        if not (folder / "b.db").exists():
            write_questions(folder / "skills.jsonl", 15)
            endpoint = f"--engine openai --base-url {url}"
            for line in (
                "init",
                "add-benchmark skills skills.jsonl",
                *(f"add-expert {name} --model {name} {endpoint}" for name in STARTERS),
                "train-router by-subject --level subject --kind tfidf",
                "evaluate by-subject",
            ):
                assert run(line, capsys).code == 0, line
        else:
            given = "".join(f'[{name}]\nurl = "{url}"\n' for name in STARTERS)
            (folder / "endpoints.toml").write_text(given)
        yield url


def evaluated() -> dict[str, StoredDecision]:
    return newest_evaluation("sqlite:///b.db", "skills")


def served() -> dict[str, set[str]]:
    """The text that the router read -> the experts that were asked."""
    store = open_store("sqlite:///b.db")
    with store.reading() as connection:
        names = {id_: name for name, id_ in experts.expert_ids(connection).items()}
        rows = connection.execute(select(ServedDecision.prompt, ServedDecision.expert_id)).all()
    store.close()
    found: dict[str, set[str]] = {}
    for prompt, expert_id in rows:
        found.setdefault(prompt, set()).add(names[expert_id])
    return found


def lm_eval(folder: Path, name: str, task: str, rows: list[dict[str, Any]], command: str) -> dict[str, dict[str, Any]]:
    """The samples of a task by the id of their question. `command` is one of the page, with `TASK` for the task."""
    tasks = folder / name
    tasks.mkdir()
    (tasks / "held_out.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tasks / f"{name}.yaml").write_text(TASK.format(name=name, folder=tasks) + task)
    output = ["--output_path", str(tasks / "out"), "--log_samples"]
    program, *words = shlex.split(command.replace("TASK", name))
    tool(program, *words, "--include_path", str(tasks), *output, folder=folder)
    [samples] = (tasks / "out").rglob("samples_*.jsonl")
    return {sample["doc"]["id"]: sample for sample in map(json.loads, samples.read_text().splitlines())}


def command_of_page(model: str, url: str) -> str:
    """The command of docs/serving.md for a model of lm-eval, with the address of a service."""
    [command] = re.findall(rf"^lm_eval run --model {model} .+?(?=^```)", PAGE, re.MULTILINE | re.DOTALL)
    assert "http://127.0.0.1:8900/v1" in command
    return str(command).replace("\\\n", " ").replace("http://127.0.0.1:8900", url)


def held_out(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "skills.jsonl").read_text().splitlines()]
    decisions = evaluated()
    return [row for row in rows if row["id"] in decisions]


def test_generated_answers(folder: Path, experts_url: str) -> None:
    rows = held_out(folder)
    with running_service.running("--log-prompts") as url:
        samples = lm_eval(folder, "generated", GENERATED, rows, command_of_page("local-chat-completions", url))
    decisions = evaluated()
    assert len(samples) == len(decisions) > 25
    assert {id_: sample["exact_match"] for id_, sample in samples.items()} == {
        key: decision.score for key, decision in decisions.items()
    }
    chosen = served()
    for row in rows:
        assert chosen[row["question"]] == {decisions[row["id"]].expert}
    assert len({decision.expert for decision in decisions.values()}) > 1
    assert {decision.score for decision in decisions.values()} == {0.0, 1.0}


def test_log_likelihoods(folder: Path, experts_url: str) -> None:
    answers: dict[str, set[str]] = {}
    for row in held_out(folder):
        answers.setdefault(row["subject"], set()).add(row["answer"])
    rows = [
        {**row, "choices": [row["answer"], *sorted(answers[row["subject"]] - {row["answer"]})[:3]], "answer": 0}
        for row in held_out(folder)
    ]
    options = ["--endpoints", "endpoints.toml"] if (folder / "endpoints.toml").exists() else []
    with running_service.running("--log-prompts", *options) as url:
        samples = lm_eval(folder, "chosen", CHOSEN, rows, command_of_page("local-completions", url))
    decisions = evaluated()
    chosen = served()
    for row in rows:
        assert chosen[row["question"]] == {decisions[row["id"]].expert}
    right = [sample["acc"] for sample in samples.values()]
    assert sum(right) / len(right) > 0.6, "the experts know most answers to the questions that they are chosen for"
