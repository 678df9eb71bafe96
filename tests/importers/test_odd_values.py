"""Files of harnesses with odd values anywhere: rows, or an error of the project in one line, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval_files import TIME, choice_row, text_row

from benchcoe_jobs.importers.base import Importer, ReadOptions
from benchcoe_jobs.importers.harnesses.helm import HELM
from benchcoe_jobs.importers.harnesses.inspect_log import INSPECT
from benchcoe_jobs.importers.harnesses.lm_eval import LM_EVAL
from benchcoe_jobs.importers.harnesses.lmms_eval import LMMS_EVAL
from benchcoe_jobs.importers.published.bench_coe import BENCH_COE
from benchcoe_jobs.importers.source import Source

ODD = [
    None,
    True,
    7,
    -1,
    0.5,
    1e308,
    10**400,
    "",
    "a\0b",
    "\ud83d",
    "attachment://x",
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    [None],
]
SWAG = {
    "ind": 1,
    "activity_label": "a",
    "ctx_a": "b",
    "ctx_b": "c",
    "endings": ["x", "y", "z"],
    "split": "val",
    "label": 0,
}
RESULTS = {
    "results": {"hellaswag": {"acc,none": 0.5, "acc_norm,none": 0.5}, "group": {"acc,none": 0.5}},
    "group_subtasks": {"group": ["hellaswag", "mmlu_pro_law"]},
    "configs": {
        "hellaswag": {"metric_list": [{"metric": "acc", "aggregation": "mean"}], "output_type": "multiple_choice"}
    },
    "higher_is_better": {"hellaswag": {"acc": True}},
    "n-samples": {"hellaswag": {"effective": 2}},
    "config": {"model_args": {"pretrained": "org/small"}},
    "model_name": "org/small",
}
SCORES = {"match": {"value": "C", "answer": "B"}}
USAGE = {"m": {"input_tokens": 1, "output_tokens": 2, "total_cost": 0.5}}
CONTENT = [{"type": "text", "text": "?"}, {"type": "image", "image": "data:image/png;base64,aaaa"}]
SAMPLES = [
    {"id": 1, "epoch": 1, "input": "?", "choices": ["x", "y"], "target": "B", "scores": SCORES, "model_usage": USAGE},
    {
        "id": 2,
        "epoch": 1,
        "input": [{"role": "user", "content": CONTENT}],
        "target": ["x"],
        "output": {"choices": [{"message": {"content": [{"type": "text", "text": "B"}]}}]},
        "scores": SCORES,
        "metadata": {"subject": "law"},
    },
]
SCORED = [{"name": "match", "scorer": "match", "metrics": {"accuracy": {"value": 1.0}}, "scored_samples": 2}]
LOG = {
    "version": 2,
    "status": "success",
    "eval": {"task": "quiz", "model": "m", "config": {"epochs": 1}},
    "results": {"total_samples": 2, "scores": SCORED, "headline": {"scorer": "match", "score": "match"}},
    "samples": SAMPLES,
}
REFERENCES = [{"output": {"text": "red"}, "tags": ["correct"]}, {"output": {"text": "blue"}, "tags": []}]
INSTANCE = {"id": "id0", "split": "test", "input": {"text": "?"}, "references": REFERENCES}
STATISTIC = {"name": {"name": "exact_match", "split": "test"}, "mean": 1.0}
RUN = {
    "run_spec.json": {
        "name": "mmlu:subject=law",
        "adapter_spec": {"model": "m", "method": "multiple_choice_joint"},
        "scenario_spec": {"args": {"subject": "law"}},
    },
    "scenario_state.json": {"request_states": [{"instance": INSTANCE, "result": {"completions": [{"text": "A"}]}}]},
    "per_instance_stats.json": [{"instance_id": "id0", "train_trial_index": 0, "stats": [STATISTIC]}],
    "stats.json": [STATISTIC],
}
VALUE = {
    "id": "validation_Math_1",
    "subdomain": "Math",
    "question_type": "open",
    "answer": "[1]",
    "parsed_pred": [["1"]],
}
LMMS_ROW = {"doc_id": 0, "target": "A", "filtered_resps": "A", "input": "?", "mmmu_acc": VALUE, "token_counts": [{}]}
COE_ROW = {"id": "1", "input_sentence": "_", "options": ["x", "y"], "target_answer": "1", "category": "0"}

FILES: dict[str, tuple[Importer, dict[str, Any]]] = {
    "lm-eval": (
        LM_EVAL,
        {
            f"samples_hellaswag_{TIME}.jsonl": [choice_row(0, 1.0, **SWAG), choice_row(1, 0.0, **SWAG)],
            f"samples_mmlu_pro_law_{TIME}.jsonl": [text_row(0, 1.0, "B", {"question": "?"}, "none")],
            f"results_{TIME}.json": RESULTS,
        },
    ),
    "lmms-eval": (
        LMMS_EVAL,
        {"20261128_041500_samples_mmmu_val.jsonl": [LMMS_ROW], "20261128_041500_results.json": RESULTS},
    ),
    "inspect": (INSPECT, {"log.json": LOG}),
    "helm": (HELM, RUN),
    "bench-coe": (BENCH_COE, {"coe.json": [COE_ROW | {"model_output": "1"}]}),
}


def places(value: Any, put: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """What replaces a value, and each value in it."""
    yield put
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, lambda new, name=name: value.__setitem__(name, new))  # type: ignore[misc]


def write(folder: Path, files: dict[str, Any]) -> None:
    for name, document in files.items():
        lines = document if name.endswith(".jsonl") and isinstance(document, list) else [document]
        (folder / name).write_text("\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize("form", FILES)
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_values_are_no_faults_of_the_program(tmp_path: Path, form: str, data: st.DataObject) -> None:
    importer, whole = FILES[form]
    files = copy.deepcopy(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        found = [
            place for name in files for place in places(files[name], lambda new, name=name: files.update({name: new}))
        ]  # type: ignore[misc]
        data.draw(st.sampled_from(found))(copy.deepcopy(data.draw(st.sampled_from(ODD))))
    write(tmp_path, files)
    path = tmp_path / next(iter(files)) if form in ("inspect", "bench-coe") else tmp_path
    hostile.require_own_errors(lambda: importer.recognise(Source(path)))
    hostile.require_own_errors(lambda: list(importer.read(Source(path), ReadOptions())))
