"""Imports against the least that could be done: of a real MMLU-Pro archive, and of a table with a million rows.

    python bench/imports.py archive
    python bench/imports.py table [--queries 20000] [--experts 50]

archive: the alternative reads and parses the same zip and writes the same rows (responses with their text,
scores, extractions, and the queries if the store is empty) by plain executemany into SQLite: no
checks, no scoring, no labels. The two alternate, because the speed of a shared machine drifts; the ratio is
the median over the pairs, with its range. The peak memory of an import in a separate process is printed too.
table: DuckDB reads the same file into a database file, and computes the best expert of each query (arg_max) and the
means of the experts by subject. Each runs in a process of its own; the CPU time is that of the whole process, in user
and system mode.
"""

from __future__ import annotations

import argparse
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
TABLE_PAIRS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["archive", "table"])
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--experts", type=int, default=50)
    options = parser.parse_args()
    if options.what == "archive":
        archive()
    else:
        table(options.queries, options.experts)


def table(n_queries: int, n_experts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder}/benchcoe.db"
        rows = []
        for file in written_tables(Path(folder), n_queries, n_experts):
            pairs = []
            for _ in range(TABLE_PAIRS):
                for old in Path(folder).glob("*.d*b*"):
                    old.unlink()
                command("init")
                words = ["import-results", "all", str(file), "--create-experts", "--quiet"]
                ours, peak = process(OURS, *words)
                pairs.append((ours, process(DUCKDB, str(file), f"{folder}/other.duckdb")[0], peak))
            ratios = sorted(ours / duck for ours, duck, _ in pairs)
            ours, duck, peak = (statistics.median(column) for column in zip(*pairs, strict=True))
            shown = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
            rows.append([file.suffix[1:], f"{ours:.2f}", f"{duck:.2f}", shown, f"{peak:.0f}"])
        title = f"{n_queries * n_experts:,} rows, {n_queries:,} queries x {n_experts} experts"
        markdown([title, "import, CPU s", "DuckDB, CPU s", "ratio", "peak memory, MiB"], rows)


def written_tables(folder: Path, n_queries: int, n_experts: int) -> list[Path]:
    """The same scores as Parquet and as CSV, expert by expert."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv, parquet

    rng = np.random.default_rng(0)
    query, expert = np.tile(np.arange(n_queries), n_experts), np.repeat(np.arange(n_experts), n_queries)
    subject, skill = rng.integers(0, 14, n_queries)[query], 0.3 + 0.4 * rng.random((n_experts, 14))
    columns = {
        "benchmark": np.full(len(query), "generated"),
        "key": np.char.add("q", query.astype(str)),
        "subject": np.char.add("subject-", subject.astype(str)),
        "expert": np.char.add("expert-", expert.astype(str)),
        "score": (rng.random(len(query)) < skill[expert, subject]).astype(float),
    }
    files = [folder / "scores.parquet", folder / "scores.csv"]
    parquet.write_table(pa.table(columns), files[0])
    csv.write_csv(pa.table(columns), files[1], csv.WriteOptions(quoting_style="none"))
    return files


def process(program: str, *words: str) -> tuple[float, float]:
    """CPU seconds and peak memory in MiB of a program in a process of its own, which prints them at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}{REPORT}", *words], check=True, capture_output=True, text=True
    )
    cpu, peak = done.stdout.splitlines()[-1].split()
    return float(cpu), float(peak)


# Not ru_maxrss, which begins with the size of the process that started this one.
REPORT = """
import pathlib, resource
used = resource.getrusage(resource.RUSAGE_SELF)
[peak] = [line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print()
print(used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024)
"""


OURS = """
import sys
from benchcoe_jobs.cli.main import execute
assert execute(sys.argv[1:]) == 0
"""

DUCKDB = """
import sys
import duckdb
database = duckdb.connect(sys.argv[2])
database.execute("SET threads = 2")
database.execute(f"CREATE TABLE score AS SELECT * FROM '{sys.argv[1]}'")
database.execute("CREATE TABLE best AS SELECT key, arg_max(expert, score) AS expert FROM score GROUP BY key")
database.execute("CREATE TABLE means AS SELECT expert, subject, avg(score) AS mean FROM score GROUP BY expert, subject")
database.close()
"""


def archive() -> None:
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
