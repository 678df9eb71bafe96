"""docs/extending.md: its code is installed as a distribution, and its commands are run."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchcoe_jobs import registry

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^<!-- file: (\S+) -->\n```\w*\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL))
[COMMANDS] = re.findall(r"^<!-- commands -->\n```\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GROUPS = ("benchmarks", "engines", "importers", "jobs", "routers")

N = 150


def questions() -> list[dict[str, str]]:
    """Additions and multiplications, half of each."""
    rows = []
    for n in range(N):
        a, b = 10 + n, 3 + n % 7
        operation, target = ("plus", a + b) if n % 2 else ("times", a * b)
        topic = {"plus": "addition", "times": "multiplication"}[operation]
        rows.append({"id": f"q{n}", "topic": topic, "prompt": f"What is {a} {operation} {b}?", "target": str(target)})
    return rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the files that the commands read, and the distribution of the page in `site`."""
    place = tmp_path_factory.mktemp("extending")
    for name, code in FILES.items():
        path = place / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(place / "site"), str(place / "source")]
    subprocess.run([*install, *options], check=True)
    rows = questions()
    log = [
        {**row, "model": "published", "output": f"It is {row['target'] if n % 3 else 0}."} for n, row in enumerate(rows)
    ]
    (place / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*log, {"id": "without the rest"}]))
    return place


@pytest.fixture(scope="module")
def run(place: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a command as a user of the distribution would, in the working folder."""
    scripts = Path(sys.executable).parent
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BENCHCOE_")}
    clean |= {"PYTHONPATH": str(place / "site"), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}

    def command(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(shlex.split(line), cwd=place, env=clean, capture_output=True, text=True)

    return command


@pytest.fixture(scope="module")
def outputs(run: Callable[[str], subprocess.CompletedProcess[str]]) -> dict[str, str]:
    """The output of each command of the page, run in their order."""
    found = {}
    for line in COMMANDS.splitlines():
        done = run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        found[line] = done.stdout
    return found


def output_of(outputs: dict[str, str], start: str) -> str:
    [found] = [output for line, output in outputs.items() if line.startswith(start)]
    return found


def test_the_page_names_every_group_and_has_a_plug_in_of_each() -> None:
    table = re.findall(r"^\| `(benchcoe_jobs\.\w+)` \|", PAGE, re.MULTILINE)
    declared = re.findall(r'^\[project\.entry-points\."(.+)"\]$', FILES["pyproject.toml"], re.MULTILINE)
    assert sorted(table) == sorted(declared) == [f"benchcoe_jobs.{group}" for group in GROUPS]
    for group in GROUPS:
        assert registry.names(group)  # a group that the registry does not have raises


def test_the_benchmark_is_added_from_its_own_file(outputs: dict[str, str]) -> None:
    assert f"{N} new queries" in output_of(outputs, "benchcoe-jobs add-benchmark")


def test_the_importer_reads_responses_and_the_benchmark_scores_them(outputs: dict[str, str]) -> None:
    shown = output_of(outputs, "benchcoe-jobs import-results")
    assert f"{N} scored for published" in shown
    assert "'last number' 150" in shown
    assert "skipped row 151: no usable record: KeyError('topic')" in shown


def test_experts_of_the_engine_are_profiled(outputs: dict[str, str]) -> None:
    for expert in ("adder", "multiplier"):
        shown = output_of(outputs, f"benchcoe-jobs add-expert {expert}")
        assert re.search(rf"sums +{N} +0 +{N} +0 +0 +50\.0", shown), shown


def test_the_engine_needs_no_gpu(outputs: dict[str, str], run: Callable[[str], Any]) -> None:
    status = json.loads(run("benchcoe-jobs status 1 --json").stdout)
    assert [group["queue"] for group in status["shard_groups"]] == ["cpu"]


def test_an_unknown_model_is_named(outputs: dict[str, str], run: Callable[[str], Any]) -> None:
    done = run("benchcoe-jobs add-expert divider --engine calculator --model divided-by")
    assert done.returncode != 0
    assert "model 'divided-by': known are plus, times" in done.stderr


def test_a_router_of_the_kind_tells_the_subjects_apart(outputs: dict[str, str]) -> None:
    assert "100.0 %" in output_of(outputs, "benchcoe-jobs evaluate")


def test_the_job_writes_a_file_for_each_pool(outputs: dict[str, str], place: Path, run: Callable[[str], Any]) -> None:
    assert output_of(outputs, "python -c").strip() == "done"
    assert re.search(r"export-labels +\S+ +\S+ +done", output_of(outputs, "benchcoe-jobs jobs"))
    with (place / ".benchcoe" / "exports" / "labels-all.csv").open(newline="") as file:
        labels = {(row["subject"], row["split"]): row["expert"] for row in csv.DictReader(file)}
    assert labels["addition", "train"] == "adder"
    assert labels["multiplication", "train"] == "multiplier"
    [job] = [
        job for job in json.loads(run("benchcoe-jobs jobs --json").stdout)["jobs"] if job["kind"] == "export-labels"
    ]
    assert json.loads(run(f"benchcoe-jobs status {job['job']} --json").stdout)["report"] == {"pools": ["all"]}
