"""Samples of published outputs and of batches, with what is right about them: see import_cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from import_case import Case

from benchcoe_jobs.domain import Query
from benchcoe_jobs.importers.base import ReadOptions


def rows_of_mmmu(folder: Path) -> Path:
    path = folder / "toy-vlm" / "Art" / "output.json"
    path.parent.mkdir(parents=True)
    rows = [
        {"id": f"validation_Art_{n}", "question_type": "multiple-choice", "index2ans": {"A": "oil", "B": "ink"}}
        | {"answer": "A", "response": f"({'AB'[n % 2]})", "parsed_pred": "AB"[n % 2]}
        | {"judge": ["Correct", "Wrong"][n % 2]}
        for n in range(4)
    ]
    for name in ("output.json", "parsed_output.json"):
        (path.parent / name).write_text(json.dumps(rows))
    (path.parent / "result.json").write_text(json.dumps({"acc": 0.5, "num_example": 4}))
    return folder / "toy-vlm"


def rows_of_scienceqa(folder: Path) -> Path:
    problem = {
        "choices": ["oil", "ink"],
        "answer": 0,
        "subject": "natural science",
        "question": "Which?",
        "split": "test",
    }
    (folder / "problems.json").write_text(json.dumps({str(n): problem for n in range(4)}))
    path = folder / "results.json"
    results = {"acc": 50.0, "correct": 2, "count": 4, "results": {str(n): n % 2 for n in range(4)}}
    path.write_text(json.dumps(results | {"outputs": {str(n): "AB"[n % 2] for n in range(4)}}))
    return path


def rows_of_mmstar(folder: Path) -> Path:
    path = folder / "answers.jsonl"
    prompt = "Which colour?\nOptions: A: red, B: blue\nAnswer with the letter."
    rows = [{"question_id": n, "prompt": prompt, "text": "AB"[n % 2], "model_id": "toy-vlm"} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of_a_batch(folder: Path) -> Path:
    path = folder / "output.jsonl"
    ids = [f"bbh/snarks/{n}" for n in range(4)]
    body = {"model": "toy", "messages": [{"role": "user", "content": "Which is sarcastic?\nOptions:\n(A) x\n(B) y"}]}
    requests = [{"custom_id": id_, "method": "POST", "url": "/v1/chat/completions", "body": body} for id_ in ids]
    (folder / "input.jsonl").write_text("".join(json.dumps(row) + "\n" for row in requests))
    bodies = [{"model": "toy", "choices": [{"message": {"content": f"({'AB'[n % 2]})"}}]} for n in range(4)]
    lines = [
        {"id": id_, "custom_id": id_, "response": {"status_code": 200, "body": body}, "error": None}
        for id_, body in zip(ids, bodies, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return path


def rows_of_hellaswag(folder: Path) -> Path:
    path = folder / "toy.csv"
    lines = [f"val-{n},{n % 2},-1,-2,-3,-4" for n in range(4)]
    path.write_text("\n".join(["key,label,ll_0,ll_1,ll_2,ll_3", *lines]))
    return path


def replaced(pattern: str, old: str, new: str) -> Callable[[Path], None]:
    """Replace a text in the files of a sample whose names match a pattern."""

    def replace(path: Path) -> None:
        for file in (path.parent if path.is_file() else path).rglob(pattern):
            file.write_text(file.read_text().replace(old, new))

    return replace


DIRECT = "code-davinci-002-direct"
COT = "code-davinci-002-cot"
RIGHT_OF_COT = {
    "boolean_expressions": 0.928,
    "date_understanding": 0.872,
    "dyck_languages": 0.568,
    "logical_deduction_three_objects": 0.876,
    "movie_recommendation": 0.904,
    "multistep_arithmetic_two": 0.476,
    "navigate": 0.964,
    "object_counting": 0.932,
    "sports_understanding": 0.976,
    "word_sorting": 0.404,
}
SNARKS = [Query(f"snarks/{n}", "snarks", "Which is sarcastic?\nOptions:\n(A) x\n(B) y", answer="(A)") for n in range(4)]
COLOURS = [Query(str(n), "math", "Which colour?\nOptions: A: red, B: blue", answer="A") for n in range(4)]
COOKING = [Query(f"val-{n}", "cooking", f"{n}.", ("a", "b", "c", "d"), "AB"[n % 2]) for n in range(4)]

PUBLISHED_CASES = [
    Case("bbh", f"../bbh/{COT}", {(COT, task): (250, right) for task, right in RIGHT_OF_COT.items()}),
    Case(
        "bbh",
        f"bbh-direct/{DIRECT}",
        {(DIRECT, "penguins_in_a_table"): (60, 0.8), (DIRECT, "snarks"): (60, 0.6333)},
        refused={"mean of": replaced("penguins*_eval_metrics.jsonl", "66.43", "6.643")},
    ),
    Case(
        "hellaswag",
        rows_of_hellaswag,
        {(None, "cooking"): (4, 0.5)},
        ReadOptions(metric="acc"),
        stored={"hellaswag": COOKING},
        refused={"are not log-likelihoods": replaced("toy.csv", "-4", "0.4")},
    ),
    Case(
        "mmmu",
        rows_of_mmmu,
        {("toy-vlm", "Art"): (4, 0.5)},
        refused={"mean of": replaced("result.json", "0.5", "0.75")},
    ),
    Case(
        "mmstar",
        rows_of_mmstar,
        {("toy-vlm", "math"): (4, 0.5)},
        stored={"mmstar": COLOURS},
        refused={"has no query": replaced("answers.jsonl", '"question_id": ', '"question_id": 9')},
    ),
    Case(
        "openai-batch",
        rows_of_a_batch,
        {("toy", "snarks"): (4, 0.5)},
        stored={"bbh": SNARKS},
        refused={"in the input file": lambda path: path.with_name("input.jsonl").unlink()},
    ),
    Case(
        "scienceqa",
        rows_of_scienceqa,
        {(None, "scienceqa"): (4, 0.5)},
        refused={"mean of": replaced("results.json", '"correct": 2', '"correct": 3')},
    ),
]
