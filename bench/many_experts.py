"""Time and memory by number of experts, on the real MMLU-Pro files and generated experts up to 64.

    python bench/many_experts.py [--sizes 12,32,64] [--out FOLDER]

A generated expert is a copy of a real one with a third of its scores drawn again, by its mean on the subject, so that
it correlates with the others as real experts do. Every figure is of a separate process: CPU seconds (user and
system, one thread), because the machines are shared, and peak memory. The routers are embedding routers with
cached embeddings. The store is kept in FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import command, encoder, imported, markdown, result_files
from stages import PRICES

from benchcoe_jobs.services.score_matrix import ScoreMatrix, read_matrix
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store, open_store

PROGRAM = "import sys; from benchcoe_jobs.cli.main import execute; sys.exit(execute(sys.argv[1:]))"
ANEW = 1 / 3
STEPS = {
    "labels": [["build-labels", "--level", level] for level in ("subject", "query")],
    "audit": [["audit"]],
    "what-if": [["whatif", "--drop", "mathstral-7B"]],
    "train subject": [["train-router", "s", "--level", "subject"]],
    "train query": [["train-router", "q", "--level", "query"]],
    "evaluate subject": [["evaluate", "s"]],
    "evaluate query": [["evaluate", "q"]],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="12,32,64")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with contextlib.ExitStack() as stack:
        folder = (options.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{folder}/benchcoe.db"
        os.environ["BENCHCOE_DATABASE_URL"], os.environ["BENCHCOE_HOME"] = url, str(folder / "home")
        imported(result_files(), PRICES)
        with_vectors()
        rows, peaks = [], []
        for size in map(int, options.sizes.split(",")):
            grow(url, size)
            measured = {"add the last": add_last(size), **{name: step(name) for name in STEPS}}
            rows.append([str(size), *(shown(seconds, 1) for seconds, _ in measured.values())])
            print(" ".join(rows[-1]), file=sys.stderr)
            peaks.append([str(size), *(shown(mib, 0) for _, mib in measured.values()), f"{store_mib(folder):.0f}"])
    markdown(["experts, CPU s", "add the last", *STEPS], rows)
    markdown(["experts, peak MiB", "add the last", *STEPS, "store"], peaks)


def grow(url: str, size: int) -> None:
    """Generated experts up to one fewer than `size`; the last one is added and measured separately."""
    store = open_store(url)
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "mmlu-pro")
        real = read_matrix(
            connection, benchmark_id, {n: i for n, i in experts.expert_ids(connection).items() if n in PRICES}
        )
        stored = set(experts.expert_ids(connection))
    for number in range(len(PRICES), size - 1):
        if name_of(number) not in stored:
            add_generated(store, benchmark_id, real, number)
    store.close()


def add_generated(store: Store, benchmark_id: int, real: ScoreMatrix, number: int) -> None:
    rng = np.random.default_rng(number)
    values = real.values[:, number % len(real.experts)].copy()
    known = np.flatnonzero(~np.isnan(values))
    codes = real.subject_codes()
    means = np.array(
        [np.nanmean(values[codes == code]) if (codes[known] == code).any() else 0 for code in range(codes.max() + 1)]
    )
    anew = known[rng.random(len(known)) < ANEW]
    values[anew] = rng.random(len(anew)) < means[codes[anew]]
    with store.writing() as connection:
        experts.add_expert(connection, experts.ExpertRow(name_of(number), "recorded", cost=10.0 + number))
        expert_id = experts.find_expert(connection, name_of(number))
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"generated": number})
        new = [NewScore(real.queries[row].id, real.queries[row].stratum_id, float(values[row])) for row in known]
        responses.write_scores(connection, expert_id, run_id, new)
        aggregates.refresh(connection, [benchmark_id], {(expert_id, score.stratum_id) for score in new})


def add_last(size: int) -> tuple[float, float]:
    """CPU seconds and peak MiB of a process that adds the last expert, labels included.

    Start-up and reading the real scores are included.
    """
    if size <= len(PRICES):
        return float("nan"), float("nan")  # all experts are real
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import many_experts as m; "
        f"m.grow(__import__('os').environ['BENCHCOE_DATABASE_URL'], {size + 1})"
    )
    return spent([sys.executable, "-c", program])


def with_vectors() -> None:
    """Store the embeddings before anything is measured; routers of both levels need the same ones."""
    for split in ("train", "test"):
        command("train-router", "warm", "--kind", "embedding", "--encoder", encoder(), "--split", split)


def step(name: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of a step's commands."""
    found = []
    for words in STEPS[name]:
        extra = ["--kind", "embedding", "--encoder", encoder()] if words[0] == "train-router" else []
        found.append(spent([sys.executable, "-c", PROGRAM, *words, *extra, "--quiet"]))
    return sum(seconds for seconds, _ in found), max(mib for _, mib in found)


def spent(words: list[str]) -> tuple[float, float]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{words[3:]} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def store_mib(folder: Path) -> float:
    return (folder / "benchcoe.db").stat().st_size / 2**20


def shown(figure: float, digits: int) -> str:
    return "-" if np.isnan(figure) else f"{figure:.{digits}f}"


def name_of(number: int) -> str:
    return f"generated-{number:02}"


if __name__ == "__main__":
    main()
