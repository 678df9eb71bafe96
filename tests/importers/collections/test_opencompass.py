"""OpenCompass: parts of predictions, details, accuracies in per cent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from imported import imported, notes, results, scores, stated, write_json

from benchcoe_jobs.errors import InputError


def prediction(number: int, gold: object = "A") -> dict[str, Any]:
    turns = [{"role": "HUMAN", "prompt": f"Question {number}?"}]
    return {"origin_prompt": turns, "prediction": f"answer {number}", **({"gold": gold} if gold else {})}


def detail(number: int, correct: object) -> dict[str, Any]:
    return {"origin_prediction": f"answer {number}", "references": "0", "correct": correct}


def work_folder(path: Path, details: object, accuracy: float, *parts: list[dict[str, Any]]) -> Path:
    write_json(path / "results" / "m" / "rivers.json", {"accuracy": accuracy, "details": details})
    for number, part in enumerate(parts):
        rows = {str(place): row for place, row in enumerate(part)}
        write_json(path / "predictions" / "m" / f"rivers_{number}.json", rows)
    return path


def test_parts_are_numbered_on_and_a_gold_answer_that_is_left_out_is_found(tmp_path: Path) -> None:
    details = {"type": "GEN", **{str(place): detail(place, place != 1) for place in range(3)}}
    path = work_folder(tmp_path, details, 66.67, [prediction(0), prediction(1, 0)], [prediction(2)])
    items = imported("opencompass", path)
    assert [(row.query.key, row.query.text, row.query.answer, row.text) for row in results(items)] == [
        ("rivers/0", "Question 0?", "A", "answer 0"),
        ("rivers/1", "Question 1?", "0", "answer 1"),
        ("rivers/2", "Question 2?", "A", "answer 2"),
    ]
    assert scores(items) == {"m": [1.0, 0.0, 1.0]}
    [mean] = stated(items)
    assert (mean.expert, mean.task, mean.n) == ("m", "rivers", 3)
    assert mean.value == pytest.approx(0.6667)


def test_the_mean_of_several_answers_to_each_question(tmp_path: Path) -> None:
    details = [{"pred": ["x", "y"], "answer": ["A", "A"], "correct": [True, right]} for right in (False, True)]
    path = work_folder(tmp_path, details, 75.0, [prediction(number % 2) for number in range(4)])
    items = imported("opencompass", path)
    assert scores(items) == {"m": [0.5, 1.0]}
    assert [row.text for row in results(items)] == [None, None]


@pytest.mark.parametrize(
    ("details", "parts", "reason"),
    [
        (None, [[prediction(0)]], "--dump-eval-details"),
        ([detail(0, True)], [[prediction(0), prediction(1)]], "results of two runs"),
        ([detail(1, True)], [[prediction(0)]], "results of two runs"),
        ({"0": detail(0, True), "2": detail(2, True)}, [], "without a gap"),
    ],
    ids=["no details", "more predictions", "other predictions", "a gap"],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, details: object, parts: Any, reason: str) -> None:
    path = work_folder(tmp_path, details, 50.0, *parts)
    with pytest.raises(InputError, match=reason):
        imported("opencompass", path)


def test_a_data_set_without_details_is_passed_over(tmp_path: Path) -> None:
    path = work_folder(tmp_path, [detail(0, True)], 100.0, [prediction(0)])
    write_json(path / "results" / "m" / "metals.json", {"accuracy": 50.0})
    items = imported("opencompass", path)
    assert len(results(items)) == 1
    assert notes(items)[0].endswith("m/metals.json")
