"""every_eval_ever: samples and their aggregate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from imported import imported, notes, results, scores, stated, write_json

from benchcoe_jobs.errors import InputError


def sample(number: int, score: float, **other: Any) -> dict[str, Any]:
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "e",
        "model_id": "org/m",
        "evaluation_name": "toy.rivers",
        "evaluation_result_id": "toy.rivers.accuracy",
        "sample_id": f"s{number}",
        "input": {"raw": f"Question {number}?", "reference": ["4"], "choices": None},
        "output": {"raw": ["four"]},
        "evaluation": {"score": score, "is_correct": score == 1.0},
        "token_usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
        **other,
    }


def evaluation(metric: str, score: float, n: int | None = None, **config: Any) -> dict[str, Any]:
    return {
        "evaluation_name": "toy.rivers",
        "evaluation_result_id": f"toy.rivers.{metric}",
        "source_data": {"dataset_name": "toy"},
        "metric_config": {"metric_name": metric, **config},
        "score_details": {"score": score, **({"uncertainty": {"num_samples": n}} if n else {})},
    }


def files(folder: Path, samples: list[dict[str, Any]], *evaluations: dict[str, Any], **other: Any) -> Path:
    aggregate = {"schema_version": "0.3.0", "evaluation_id": "e", "model_info": {"id": "org/m"}}
    write_json(folder / "u.json", {**aggregate, "evaluation_results": list(evaluations), **other})
    (folder / "u_samples.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in samples))
    return folder


def test_samples_with_their_data_set_and_subject(tmp_path: Path) -> None:
    rows = [sample(1, 1.0, metadata={"subject": "Nile"}), sample(2, 0.0)]
    items = imported("every-eval-ever", files(tmp_path, rows, evaluation("accuracy", 50.0, 2, max_score=100)))
    first, second = results(items)
    assert (first.benchmark, first.query.key, first.query.subject) == ("toy", "s1", "Nile")
    assert (first.query.text, first.query.answer, first.text) == ("Question 1?", "4", "four")
    assert (first.prompt_tokens, first.completion_tokens) == (3, 1)
    assert second.query.subject == "toy.rivers"
    assert scores(items) == {"org/m": [1.0, 0.0]}
    assert [(mean.value, mean.n) for mean in stated(items)] == [(0.5, 2)]


def test_a_score_over_an_unknown_number_of_samples_is_told_and_not_compared(tmp_path: Path) -> None:
    items = imported("every-eval-ever", files(tmp_path, [sample(1, 1.0)], evaluation("accuracy", 0.75)))
    assert stated(items) == []
    assert "is 0.75, over a number of samples that it does not state" in notes(items)[0]


def test_one_of_several_metrics_must_be_chosen(tmp_path: Path) -> None:
    rows = [sample(1, 1.0), sample(1, 0.3, evaluation_result_id="toy.rivers.f1")]
    path = files(tmp_path, rows, evaluation("accuracy", 1.0), evaluation("f1", 0.3))
    with pytest.raises(InputError, match="has the metrics 'accuracy', 'f1': --metric NAME chooses one"):
        imported("every-eval-ever", path)
    assert scores(imported("every-eval-ever", path, metric="f1")) == {"org/m": [0.3]}


def test_sample_ids_that_evaluations_share(tmp_path: Path) -> None:
    rows = [sample(1, 1.0), sample(1, 0.0, evaluation_name="toy.metals", evaluation_result_id="toy.metals")]
    keys = [row.query.key for row in results(imported("every-eval-ever", files(tmp_path, rows)))]
    assert keys == ["toy.rivers/s1", "toy.metals/s1"]


@pytest.mark.parametrize(
    ("evaluations", "other", "reason"),
    [
        ([evaluation("loss", 1.0, lower_is_better=True)], {}, "lower is better"),
        ([], {"detailed_evaluation_results": {"hash_algorithm": "sha256", "checksum": "0" * 64}}, "changed or cut"),
    ],
    ids=["lower is better", "another file"],
)
def test_what_is_refused(tmp_path: Path, evaluations: Any, other: Any, reason: str) -> None:
    rows = [sample(1, 1.0, evaluation_result_id="toy.rivers.loss")]
    with pytest.raises(InputError, match=reason):
        imported("every-eval-ever", files(tmp_path, rows, *evaluations, **other))


def test_an_aggregate_alone_has_no_scores_of_questions(tmp_path: Path) -> None:
    path = files(tmp_path, [sample(1, 1.0)], evaluation("accuracy", 1.0)) / "u.json"
    assert scores(imported("every-eval-ever", path)) == {"org/m": [1.0]}
    (tmp_path / "u_samples.jsonl").unlink()
    with pytest.raises(InputError, match="import-scores"):
        imported("every-eval-ever", path)


def test_the_digest_of_the_samples_is_compared(tmp_path: Path) -> None:
    content = f"{json.dumps(sample(1, 1.0))}\n".encode()
    detailed = {"hash_algorithm": "sha256", "checksum": hashlib.sha256(content).hexdigest()}
    path = files(tmp_path, [sample(1, 1.0)], detailed_evaluation_results=detailed)
    assert len(results(imported("every-eval-ever", path))) == 1
