"""Import of one real MMLU-Pro archive against parsing and plain executemany.

    python bench/imports.py

The alternative reads and parses the same zip and writes the same rows (responses with their text,
scores, extractions, and the queries if the store is empty) by plain executemany into SQLite: no
checks, no scoring, no labels. The two alternate, because the speed of a shared machine drifts; the ratio is
the median over the pairs, with its range. The peak memory of an import in a separate process is printed too.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness import command, markdown, result_files

EXPERT = "mathstral-7B"
PAIRS = 7


def main() -> None:
    files = result_files()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for case, first in (("into an empty store", None), ("into a store with the queries", "gemma-7b")):
            pairs = []
            for _ in range(PAIRS + 1):
                fresh(Path(folder), first, files)
                ours = seconds_of(partial(ours_once, files[EXPERT]))
                pairs.append((ours, seconds_of(partial(least_once, files[EXPERT], Path(folder), first is None))))
            ours, least = (statistics.median(times) for times in zip(*pairs[1:], strict=True))
            ratios = sorted(ours / least for ours, least in pairs[1:])
            shown = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            rows.append([case, f"{ours:.2f}", f"{least:.2f}", shown])
        markdown([f"import of {EXPERT}, 12,032 rows", "import s", "read + parse + executemany s", "ratio"], rows)
        fresh(Path(folder), None, files)
        print(f"peak memory of the import: {peak_mib(files[EXPERT]):.0f} MiB")


def fresh(folder: Path, first: str | None, files: dict[str, Path]) -> None:
    for file in folder.glob("*"):
        file.unlink()
    os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
    command("init")
    command("add-expert", EXPERT, "--engine", "recorded")
    if first:
        command("add-expert", first, "--engine", "recorded")
        command("import-results", first, str(files[first]), "--format", "mmlu-pro")


def ours_once(file: Path) -> None:
    command("import-results", EXPERT, str(file), "--format", "mmlu-pro")


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def least_once(file: Path, folder: Path, with_queries: bool) -> None:
    target = folder / "least.db"
    target.unlink(missing_ok=True)
    database = sqlite3.connect(target, isolation_level=None)
    database.executescript("""
        PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        CREATE TABLE query (id INTEGER PRIMARY KEY, key TEXT, text TEXT, choices TEXT, answer TEXT);
        CREATE TABLE response (id INTEGER PRIMARY KEY, query TEXT, text TEXT);
        CREATE TABLE score (expert INTEGER, query TEXT, value REAL, PRIMARY KEY (expert, query)) WITHOUT ROWID;
        CREATE TABLE extraction (expert INTEGER, query TEXT, answer TEXT, PRIMARY KEY (expert, query)) WITHOUT ROWID;
    """)
    with zipfile.ZipFile(file) as archive:
        rows = json.loads(archive.read(archive.namelist()[0]))
    database.execute("BEGIN")
    if with_queries:
        database.executemany(
            "INSERT INTO query (key, text, choices, answer) VALUES (?, ?, ?, ?)",
            ((r["question_id"], r["question"], json.dumps(r["options"]), r["answer"]) for r in rows),
        )
    database.executemany(
        "INSERT INTO response (query, text) VALUES (?, ?)", ((r["question_id"], r["generated_text"]) for r in rows)
    )
    database.executemany(
        "INSERT INTO score VALUES (1, ?, ?)", ((r["question_id"], float(r["pred"] == r["answer"])) for r in rows)
    )
    database.executemany("INSERT INTO extraction VALUES (1, ?, ?)", ((r["question_id"], r["pred"]) for r in rows))
    database.execute("COMMIT")
    database.close()


def peak_mib(file: Path) -> float:
    program = "import sys; from benchcoe_jobs.cli.main import execute; sys.exit(execute(sys.argv[1:]))"
    words = ["import-results", EXPERT, str(file), "--format", "mmlu-pro", "--quiet"]
    subprocess.run([sys.executable, "-c", program, *words], check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


if __name__ == "__main__":
    main()
