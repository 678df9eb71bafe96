"""The importers of collections, with documents of which some values are exchanged or bytes are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Result
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.importers.source import Source

SAMPLE = {
    "schema_version": "0.3.0",
    "evaluation_id": "e",
    "model_id": "m",
    "evaluation_name": "rivers",
    "evaluation_result_id": "rivers.accuracy",
    "sample_id": "s",
    "input": {"raw": "Which?", "reference": ["4"], "choices": ["4", "5"]},
    "output": {"raw": ["four"]},
    "messages": [{"role": "assistant", "content": "four"}],
    "evaluation": {"score": 1.0},
    "token_usage": {"input_tokens": 3, "output_tokens": 1},
    "metadata": {"subject": "Nile"},
}
AGGREGATE = {
    "schema_version": "0.3.0",
    "evaluation_id": "e",
    "model_info": {"id": "m"},
    "evaluation_results": [
        {
            "evaluation_result_id": "rivers.accuracy",
            "source_data": {"dataset_name": "toy"},
            "metric_config": {"metric_name": "accuracy", "max_score": 1.0},
            "score_details": {"score": 1.0, "uncertainty": {"num_samples": 1}},
        }
    ],
}
RECORD = {
    "index": 1,
    "origin_query": "Which?",
    "ground_truth": "4",
    "score": 1.0,
    "raw_output": "4",
    "extra_fields": {},
}
RUN = {"performance": 1.0, "model_name": "m", "dataset_name": "d", "split": "test", "demo": False, "records": [RECORD]}
DETAIL = {"origin_prediction": "4", "references": 4, "correct": True}
PREDICTION = {"origin_prompt": [{"role": "HUMAN", "prompt": "Which?"}], "prediction": "4", "gold": 4}
ARENA = {
    "global_index": "AIME_1",
    "question": "Which?",
    "llm_selected": "m",
    "generated_answer": "4",
    "token_usage": {"input_tokens": 3},
    "evaluation_result": {"score": 0.5, "ground_truth": "4", "inference_cost": 0.1},
}
TEST = {
    "testIdx": 0,
    "promptIdx": 0,
    "provider": {"id": "m"},
    "prompt": {"raw": "Which?", "label": "l"},
    "score": 1,
    "response": {"output": "4", "tokenUsage": {"prompt": 3}},
    "testCase": {"assert": [{"type": "equals", "value": "4"}], "metadata": {"subject": "s"}},
    "vars": {"a": 1},
}
METRICS = {"score": 1, "testPassCount": 1, "testFailCount": 0}
FILES: dict[str, dict[str, Any]] = {
    "every-eval-ever": {"u.json": AGGREGATE, "u_samples.jsonl": SAMPLE},
    "llmrouterbench": {"d-test-m-20260101_000000.json": RUN},
    "opencompass": {
        "results/m/d.json": {"accuracy": 100.0, "details": {"type": "GEN", "0": DETAIL}},
        "predictions/m/d_0.json": {"0": PREDICTION},
    },
    "promptfoo": {"p.json": {"results": {"version": 3, "prompts": [{"metrics": METRICS}], "results": [TEST]}}},
    "routerarena": {"m.jsonl": ARENA},
    "mlflow": {"t.json": {"columns": ["inputs", "relevance/v1/score"], "data": [["Which?", 5]]}},
    "wandb": {"t.table.json": {"columns": ["id", "prompt", "score"], "data": [[1, "Which?", 0.5]]}},
    "vlmevalkit": {
        "m_Toy.json": [{"index": 0, "question": "Which?", "A": "4", "answer": "A", "prediction": "A", "hit": 1}]
    },
    "embedllm": {"e.jsonl": {"prompt_id": 1, "prompt": "Which?", "category": "c", "model_name": "m", "label": 1}},
    "routerbench": {"r.jsonl": {"prompt": "['Which?']", "eval_name": "c", "m": 0.5, "m|total_cost": 0.1}},
}


@pytest.mark.parametrize("form", FILES)
@hostile.fuzzed
@given(data=st.data())
def test_results_that_can_be_stored_or_one_clear_error(tmp_path: Path, form: str, data: st.DataObject) -> None:
    for name, document in FILES[form].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.draw(hostile.lines(document) if name.endswith(".jsonl") else hostile.document(document)))
    source = Source(tmp_path if len(FILES[form]) > 1 else path)
    importer = registry.load("importers", form)

    def read() -> None:
        importer.recognise(source)
        for item in importer.read(source, ReadOptions()):
            if isinstance(item, Result):
                query = item.query
                for text in (
                    item.benchmark,
                    query.key,
                    query.subject,
                    query.text,
                    query.answer,
                    item.text,
                    *query.choices,
                ):
                    assert "\0" not in (text or "")
                    (text or "").encode()
                assert item.score is None or 0 <= item.score <= 1

    hostile.require_own_errors(read)
