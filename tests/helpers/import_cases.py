"""Samples of every format that is imported, with what is right about them.

To add one, add a line to CASES: the format, its sample below shared/data/formats (or a function that writes a file into
a folder and returns its path), and the right (rows, mean) of each expert and task. The score of a row is that of the
file if it has one; the subject stands for the task of a row that has none.
"""

from __future__ import annotations

import json
from pathlib import Path

from collection_cases import COLLECTION_CASES
from harness_cases import HARNESS_CASES
from import_case import Case
from published_cases import PUBLISHED_CASES

from benchcoe_jobs.importers.base import ReadOptions

COLUMNS_OF_MMLU_PRO = ("question_id", "question", "options", "category", "model_outputs")


def rows_of_mmlu_pro(folder: Path) -> Path:
    rows = [
        {
            "question_id": n,
            "question": f"How many are {n}?",
            "options": ["one", "two"],
            "answer": "A",
            "category": "law",
            "model_outputs": f"The answer is ({'AB'[n % 2]}).",
            "pred": "AB"[n % 2],
        }
        for n in range(4)
    ]
    path = folder / "model_outputs_toy.json"
    path.write_text(json.dumps({"law": rows}))
    return path


def rows_of_a_table(folder: Path) -> Path:
    path = folder / "scores.csv"
    lines = [f"{n},How many are {n}?,law,{name},{n % 2}" for n in range(4) for name in ("ann", "bob")]
    path.write_text("\n".join(["key,text,subject,expert,score", *lines]))
    return path


CASES = [
    *COLLECTION_CASES,
    *HARNESS_CASES,
    *PUBLISHED_CASES,
    Case(
        "mmlu-pro",
        rows_of_mmlu_pro,
        {("toy", "law"): (4, 0.5)},
        refused={"it has no row": lambda path: path.write_text(json.dumps([*COLUMNS_OF_MMLU_PRO]))},
    ),
    Case(
        "table",
        rows_of_a_table,
        {("ann", "law"): (4, 0.5), ("bob", "law"): (4, 0.5)},
        ReadOptions(benchmark="toy"),
        refused={"is not between 0 and 1": lambda path: path.write_text(path.read_text().replace(",1", ",50"))},
    ),
]
