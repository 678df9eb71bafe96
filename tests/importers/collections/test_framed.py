"""Tables of Weights & Biases and of MLflow: objects of columns and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from imported import imported, notes, results, scores, write_json

from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.collections.mlflow import MLFLOW
from benchcoe_jobs.importers.collections.wandb import WANDB
from benchcoe_jobs.importers.source import Source


def table(path: Path, columns: list[str], *rows: list[Any]) -> Path:
    return write_json(path, {"columns": columns, "data": list(rows)})


def test_a_table_of_wandb(tmp_path: Path) -> None:
    columns = ["id", "category", "prompt", "output", "target", "correct", "seconds"]
    path = table(tmp_path / "quiz_3_0123456789abcdef0123.table.json", columns, [1, "law", "2+2?", "4", 4, True, 0.5])
    [found] = results(imported("wandb", path))
    assert (found.benchmark, found.query.key, found.query.subject) == ("quiz", "1", "law")
    assert (found.query.text, found.query.answer, found.text, found.score) == ("2+2?", "4", "4", 1.0)
    assert MLFLOW.recognise(Source(path)) is None


def test_the_column_of_scores_must_be_clear(tmp_path: Path) -> None:
    two = table(tmp_path / "two.table.json", ["id", "score", "correct"], [1, 0.25, True])
    with pytest.raises(UsageError, match="'score', 'correct' could all be the scores: --metric NAME chooses one"):
        imported("wandb", two)
    assert scores(imported("wandb", two, metric="score")) == {None: [0.25]}
    none = table(tmp_path / "none.table.json", ["id", "rouge"], [1, 0.25])
    with pytest.raises(
        InputError, match="no column is known to have scores: --metric NAME names it; it has 'id', 'rouge'"
    ):
        imported("wandb", none)


def mlflow(path: Path, *values: object) -> Path:
    columns = ["inputs", "ground_truth", "outputs", "token_count", "toxicity/v1/score", "answer_similarity/v1/score"]
    rows = [[f"Question {place}?", "4", "four", 7, 0.01, value] for place, value in enumerate(values)]
    return table(path, columns, *rows)


def test_scores_from_1_to_5_are_recognised_for_the_whole_table(tmp_path: Path) -> None:
    path = mlflow(tmp_path / "eval_results_table.json", 1, 4, 5)
    items = imported("mlflow", path, benchmark="quiz")
    assert scores(items) == {None: [0.0, 0.75, 1.0]}
    assert notes(items) == ["answer_similarity/v1/score: scores from 1 to 5; 1 is taken as 0, and 5 as 1"]
    assert results(items)[0].completion_tokens == 7
    assert WANDB.recognise(Source(path)) is None


@pytest.mark.parametrize("value", [0, 0.5, 6, "4", True])
def test_another_value_refuses_a_table_of_scores_from_1_to_5(tmp_path: Path, value: object) -> None:
    with pytest.raises(InputError, match=r"row 2: .* but the scores of such a metric are from 1 to 5"):
        imported("mlflow", mlflow(tmp_path / "t.json", 5, value))


def test_another_metric_of_mlflow_is_between_0_and_1(tmp_path: Path) -> None:
    path = table(tmp_path / "t.json", ["inputs", "exact/v1/score"], ["2+2?", 3])
    with pytest.raises(InputError, match="is not between 0 and 1"):
        imported("mlflow", path)
    graded = table(tmp_path / "g.json", ["inputs", "own/v1/score", "own/v1/justification"], ["2+2?", 3, "half"])
    assert scores(imported("mlflow", graded)) == {None: [0.5]}


@pytest.mark.parametrize("document", [{"columns": ["a"], "data": [[1, 2]]}, {"columns": ["a", "a"], "data": [[1, 2]]}])
def test_rows_that_do_not_fit_their_columns(tmp_path: Path, document: object) -> None:
    with pytest.raises(InputError, match="columns"):
        imported("wandb", write_json(tmp_path / "t.table.json", document))
