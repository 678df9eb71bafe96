"""docs/extending.md: its code is installed as a distribution, and its commands are run."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def install_the_page(folder: Path) -> None:
    """Write the files that the commands read into a folder, and install the distribution of the page under it."""
    for name, code in FILES.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([*install, *options], check=True)
    rows = questions()
    log = [
        {**row, "model": "published", "output": f"It is {row['target'] if n % 3 else 0}."} for n, row in enumerate(rows)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*log, {"id": "without the rest"}]))


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user of the distribution would, in the working folder."""
    scripts = Path(sys.executable).parent
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BENCHCOE_")}
    clean |= {"PYTHONPATH": str(folder / "site"), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(shlex.split(line), cwd=folder, env=clean, capture_output=True, text=True)


def test_the_page_names_every_group_and_has_a_plug_in_of_each() -> None:
    table = re.findall(r"^\| `(benchcoe_jobs\.\w+)` \|", PAGE, re.MULTILINE)
    declared = re.findall(r'^\[project\.entry-points\."(.+)"\]$', FILES["pyproject.toml"], re.MULTILINE)
    assert sorted(table) == sorted(declared) == [f"benchcoe_jobs.{group}" for group in GROUPS]
    for group in GROUPS:
        assert registry.names(group)  # a group that the registry does not have raises


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    """One test, because the commands build on each other."""
    install_the_page(tmp_path)
    outputs = {}
    for line in COMMANDS.splitlines():
        done = run(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        outputs[line] = done.stdout

    def output_of(start: str) -> str:
        [found] = [output for line, output in outputs.items() if line.startswith(start)]
        return found

    def as_json(line: str) -> Any:
        return json.loads(run(f"benchcoe-jobs {line} --json", tmp_path).stdout)

    assert f"{N} new queries" in output_of("benchcoe-jobs add-benchmark")

    imported = output_of("benchcoe-jobs import-results")
    assert f"{N} scored for published" in imported
    assert "'last number' 150" in imported
    assert "skipped row 151: no usable record: KeyError('topic')" in imported

    for expert in ("adder", "multiplier"):
        profiled = output_of(f"benchcoe-jobs add-expert {expert}")
        assert re.search(rf"sums +{N} +0 +{N} +0 +0 +50\.0", profiled), profiled
    assert [group["queue"] for group in as_json("status 1")["shard_groups"]] == ["cpu"], "the engine needs no GPU"
    unknown = run("benchcoe-jobs add-expert divider --engine calculator --model divided-by", tmp_path)
    assert unknown.returncode != 0
    assert "model 'divided-by': known are plus, times" in unknown.stderr

    assert "100.0 %" in output_of("benchcoe-jobs evaluate"), "the router tells the subjects apart"

    assert output_of("python -c").strip() == "done"
    assert re.search(r"export-labels +\S+ +\S+ +done", output_of("benchcoe-jobs jobs"))
    with (tmp_path / ".benchcoe" / "exports" / "labels-all.csv").open(newline="") as file:
        labels = {(row["subject"], row["split"]): row["expert"] for row in csv.DictReader(file)}
    assert labels["addition", "train"] == "adder"
    assert labels["multiplication", "train"] == "multiplier"
    [job] = [job for job in as_json("jobs")["jobs"] if job["kind"] == "export-labels"]
    assert as_json(f"status {job['job']}")["report"] == {"pools": ["all"]}
