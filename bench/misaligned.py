"""The effect of misaligned rows, and their detection and repair by `audit`, on the real MMLU-Pro files.

    python bench/misaligned.py [--out FOLDER]

A score matrix is made from the files (key and score by the file's own `pred`): once correct, and with the rows of some
experts in the order of a log of 2, 4 or 8 workers, concatenated worker by worker. Routers are trained and evaluated on
both, and again after the commands that `audit` prints. Embeddings are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import command, encoder, markdown, result_files
from stages import PRICES

from benchcoe_jobs.domain import Result
from benchcoe_jobs.importers.published.mmlu_pro import read
from benchcoe_jobs.services.experiments.resplit import share_vectors
from benchcoe_jobs.store.session import open_store

SPOILT = {
    "one expert": {"gemini-1.5-flash-002": 8},
    "four experts": {
        "gemini-1.5-flash-002": 8,
        "Phi-3-mini-4k-instruct": 4,
        "mathstral-7B": 2,
        "c4ai-command-r-v01": 4,
    },
}
LEFT_OUT = "DeepSeek-Coder-V2"  # its file lacks rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    files = {name: file for name, file in result_files().items() if name != LEFT_OUT}
    with contextlib.ExitStack() as stack:
        folder = (options.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        cache = f"sqlite:///{folder}/benchcoe.db"
        command("init", "--database-url", cache)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        matrix = {name: scores(file) for name, file in files.items()}
        rows = []
        for case, workers in {"sound": {}, **SPOILT}.items():
            at(scratch / f"{case}.db", cache)
            bring(matrix, workers, scratch)
            rows.append([case, "as it is", *figures(cache)])
            if workers:
                seconds, repaired = mended()
                rows.append([case, f"repaired: {repaired} experts, {seconds:.0f} s", *figures(cache)])
    columns = ["rows in another order", "", "best single", "subject level", "query level", "oracle", "audit says"]
    print("\nGain in points over the best single expert, test split, 95 % interval\n")
    markdown(columns, rows)


def scores(file: Path) -> list[dict[str, Any]]:
    """The rows of a file in the order of the data set, scored by the file's own `pred`."""
    found = [row for row in read(file) if isinstance(row, Result)]
    found.sort(key=lambda row: int(row.query.key))
    return [
        {"key": row.query.key, "subject": row.query.subject, "score": float(row.claimed == row.query.answer)}
        | {"text": row.query.text, "choices": row.query.choices, "answer": row.query.answer}
        for row in found
    ]


def at(database: Path, cache: str) -> None:
    """A new store, with the embeddings made so far."""
    os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{database}"
    os.environ["BENCHCOE_HOME"] = str(database.with_suffix(""))
    command("init")
    share_vectors(open_store(cache), open_store(os.environ["BENCHCOE_DATABASE_URL"]))


def bring(matrix: dict[str, list[dict[str, Any]]], workers: dict[str, int], folder: Path) -> None:
    """Import the matrix. Only the rows of the first expert contain the questions, as in published matrices."""
    for number, (name, table) in enumerate(matrix.items()):
        n, w = len(table), workers.get(name, 1)
        log = [table[question]["score"] for worker in range(w) for question in range(worker, n, w)]
        rows = [{**row, "score": score} for row, score in zip(table, log, strict=True)]
        if number:
            rows = [{column: row[column] for column in ("key", "subject", "score")} for row in rows]
        path = folder / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        command("add-expert", name, "--engine", "recorded", "--cost", str(PRICES[name]))
        command("import-results", name, str(path), "--benchmark", "matrix")


def figures(cache: str) -> list[str]:
    found = []
    for level in ("subject", "query"):
        command("train-router", level, "--level", level, "--kind", "embedding", "--encoder", encoder())
        found.append(command("evaluate", level))
    share_vectors(open_store(os.environ["BENCHCOE_DATABASE_URL"]), open_store(cache))
    errors = [finding for finding in findings() if finding["severity"] == "error"]
    gains = [report["gain"] for report in found]
    return [
        f"{100 * found[0]['best_single']['accuracy']:.1f}",
        *(f"{100 * g['value']:+.1f} [{100 * g['low']:+.1f}, {100 * g['high']:+.1f}]" for g in gains),
        f"{100 * found[0]['oracle']:.1f}",
        f"{len(errors)} errors" if errors else "no error",
    ]


def findings() -> list[dict[str, Any]]:
    """The findings of `audit`; its exit code only says whether there are errors."""
    from benchcoe_jobs.services.audit.checks import audit

    return [finding.as_json() for finding in audit(open_store(os.environ["BENCHCOE_DATABASE_URL"]), None)]


def mended() -> tuple[float, int]:
    """Run the commands that the errors name; returns their seconds and their number."""
    start = time.perf_counter()
    errors = [finding for finding in findings() if finding["severity"] == "error"]
    for finding in errors:
        print(finding["what"], "\n   ", finding["command"])
        command(*shlex.split(finding["command"])[1:])
    return time.perf_counter() - start, len(errors)


if __name__ == "__main__":
    main()
