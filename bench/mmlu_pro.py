"""Real results: 12 published MMLU-Pro files -> scores -> labels, and gains over resplits of the queries.

    python bench/mmlu_pro.py [--store FOLDER]

Prints the accuracy of each expert beside the accuracy recomputed from its file's own `pred`, and both levels of labels,
all by public commands; then the gain of a subject-level router over 20 resplits of the queries. bert_router.py,
fallback_limit.py and routing.py use the store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from harness import command, encoder, markdown, result_files
from numpy.typing import NDArray
from sqlalchemy import text

from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import new_trainer
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.routing.routers import StoredVectors
from benchcoe_jobs.store.session import Store, connect, open_store

Scores = NDArray[np.float64]

# Nothing here was chosen on the test split: the pools are by size and by name.
POOLS = {
    "four 7-9B": ["Meta-Llama-3-8B", "Meta-Llama-3_1-8B-Instruct", "gemma-7b", "mathstral-7B"],
    "up to 14B": [
        "Meta-Llama-3-8B",
        "Meta-Llama-3_1-8B-Instruct",
        "Mistral-7B-Instruct-v0.2",
        "Phi-3-mini-4k-instruct",
        "Qwen1.5-7B-Chat",
        "Yi-6b-Chat",
        "gemma-7b",
        "mathstral-7B",
    ],
    "five alike": [
        "Meta-Llama-3_1-8B-Instruct",
        "Mixtral-8x7B-Instruct-v0.1",
        "Phi-3-mini-4k-instruct",
        "c4ai-command-r-v01",
        "mathstral-7B",
    ],
    "all twelve": [],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="keep the store here (its embeddings make a second run fast)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.store or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{folder.resolve()}/benchcoe.db"
        os.environ["BENCHCOE_HOME"] = str(folder.resolve() / "home")
        walk()


def walk() -> None:
    files = result_files()
    command("init")
    for name in files:
        command("add-expert", name, "--engine", "recorded")
    import_all(files)
    for level in ("subject", "query"):
        show_labels(level)
    resplits()


def import_all(files: dict[str, Path]) -> None:
    rows = []
    for name, file in files.items():
        summary = command("import-results", name, str(file), "--format", "mmlu-pro")
        rules: Counter[str] = Counter()
        for rule, count in summary["rules"].items():
            rules[rule.partition(",")[0]] += count  # "last letter, of a word" is the official rule "last letter"
        scored = summary["scored"].get(name, 0) + summary["unchanged"]
        mean = accuracy(name)
        counts = [str(rules[rule]) for rule in ("answer is", "answer:", "last letter", "none")]
        rows.append(
            [name, str(scored), str(len(summary["skipped"])), f"{100 * mean:.2f}", f"{claimed(file):.2f}", *counts]
        )
    print("## Imports: the scored accuracy, and the accuracy recomputed from the file's own `pred`\n")
    markdown(
        ["expert", "scored", "skipped", "scored %", "from pred %", "answer is", "answer:", "last letter", "none"], rows
    )


def accuracy(expert: str) -> float:
    """Mean score over all splits, from the sums that the views read."""
    with connect(os.environ["BENCHCOE_DATABASE_URL"]).reading() as connection:
        sums = "SELECT SUM(s.total_micro) / 1e6 / SUM(s.n) FROM score_sum s JOIN expert e ON e.id = s.expert_id"
        return float(connection.execute(text(f"{sums} WHERE e.name = :name"), {"name": expert}).scalar_one())


def claimed(file: Path) -> float:
    """Accuracy in percent by the file's own extraction, over all of its rows."""
    with zipfile.ZipFile(file) as archive:
        rows = [row for row in json.loads(archive.read(archive.namelist()[0])) if isinstance(row, dict)]
    return 100 * sum(row["pred"] == row["answer"] for row in rows) / len(rows)


def show_labels(level: str) -> None:
    built = command("build-labels", "--level", level)
    print(f"## Labels, {level} level, pool all, split train ({built['fingerprint'][:12]})\n")
    if level == "subject":
        rows = [
            [
                label["subject"],
                label["expert"] or "(none)",
                f"{100 * label['mean']:.1f}",
                str(label["n"]),
                f"{100 * label['margin']:.1f}",
                str(label["tied"]),
                f"{100 * label['flip_rate']:.1f} %",
            ]
            for label in built["labels"]
        ]
        markdown(["subject", "expert", "mean", "n", "margin", "tied", "flip"], rows)
    else:
        rows = [[label["expert"] or "(none)", str(label["queries"])] for label in built["labels"]]
        markdown(["expert", "queries"], rows)
        print(f"{built['n']} queries, {built['tied']} with several best experts, {built['all_wrong']} with all wrong\n")
    for row in built["left_out"]:
        print(f"- left out: {row['expert']}, {row['subject']}: {row['n_scored']} of {row['n_queries']}")
    print()


def resplits() -> None:
    """How much a gain depends on the split assignment: 20 resplits of the train and test queries.

    Subject level, embedding, linear. "true subject" is the same table with a perfect classifier.
    """
    store = open_store(os.environ["BENCHCOE_DATABASE_URL"])
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        questions = [q for split in ("train", "test") for q in catalog.questions(connection, benchmark_id, split)]
        ids = experts.expert_ids(connection)
        rows = {
            split: list(evaluations.outcomes(connection, benchmark_id, split, ids.values()))
            for split in ("train", "test")
        }
    subjects = sorted({question.subject for question in questions})
    subject_of = np.array([subjects.index(question.subject) for question in questions])
    table = []
    for pool in ("four 7-9B", "up to 14B"):
        matrix = score_matrix(questions, [*rows["train"], *rows["test"]], [ids[name] for name in POOLS[pool]])
        gains = np.array([one_resplit(store, seed, questions, subjects, subject_of, matrix) for seed in range(20)])
        mean, spread = gains.mean(axis=0), gains.std(axis=0, ddof=1)
        table.append(
            [
                pool,
                f"{mean[0]:+.2f}",
                f"{spread[0]:.2f}",
                f"{gains[:, 0].min():+.1f} to {gains[:, 0].max():+.1f}",
                f"{mean[1]:+.2f}",
            ]
        )
    store.close()
    print("## Subject level, embedding linear, over 20 resplits of the same queries (2/3 train, 1/3 test)\n")
    markdown(["pool", "mean gain, points", "standard deviation", "range", "mean gain with the true subject"], table)


def score_matrix(questions: list[Question], rows: list[tuple[int, int, float, float | None]], ids: list[int]) -> Scores:
    """Scores (queries, experts), NaN if there is no score."""
    row_of = {question.id: row for row, question in enumerate(questions)}
    matrix = np.full((len(questions), len(ids)), np.nan)
    for query_id, expert_id, score, _ in rows:
        if expert_id in ids:
            matrix[row_of[query_id], ids.index(expert_id)] = score
    return matrix


def one_resplit(
    store: Store,
    seed: int,
    questions: list[Question],
    subjects: list[str],
    subject_of: NDArray[np.intp],
    scores: Scores,
) -> tuple[float, float]:
    """Gains in points over the best single expert of the training part: of the router, and of the true subject."""
    whole = np.flatnonzero(~np.isnan(scores).any(axis=1))
    shuffled = np.random.default_rng(seed).permutation(whole)
    train, test = np.split(shuffled, [len(shuffled) * 2 // 3])
    setting = TrainingContext(encoder(), cache=StoredVectors(store))
    inputs, of = [question.router_input for question in questions], [question.subject for question in questions]
    examples = Examples(inputs, of, np.eye(len(subjects))[subject_of])
    model = new_trainer(Level.SUBJECT, "embedding", "linear", setting).fit(tuple(subjects), examples.take(train))
    table = np.array([scores[train[subject_of[train] == s]].mean(axis=0).argmax() for s in range(len(subjects))])
    single = scores[test, scores[train].mean(axis=0).argmax()]
    predicted = model.predict([inputs[row] for row in test]).argmax(axis=1)
    routed, ideal = (scores[test, table[by]] for by in (predicted, subject_of[test]))
    return 100 * float((routed - single).mean()), 100 * float((ideal - single).mean())


if __name__ == "__main__":
    main()
