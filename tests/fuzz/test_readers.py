"""Every reader of a file gives a result or one of the project's own errors, whatever the file contains.

The suite tries a few inputs for each reader. `BENCHCOE_FUZZ_EXAMPLES=5000 pytest tests/fuzz` tries new ones for longer.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hostile
import prompt_files
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from benchcoe_jobs import registry
from benchcoe_jobs.importers import reported, table
from benchcoe_jobs.importers.published import mmlu_pro
from benchcoe_jobs.services.batch.openai_format import engine_request, read_lines, router_input
from benchcoe_jobs.services.experiments.plan import read_experiment
from benchcoe_jobs.services.routing.question_file import read_questions
from benchcoe_jobs.settings import CONFIG_FILE, Settings

ROW = {
    "key": "q1",
    "text": "What is 2 + 2?",
    "subject": "math",
    "split": "test",
    "choices": ["3", "4"],
    "answer": "B",
    "score": 0.5,
    "cost": 0.1,
    "tokens": 12,
    "expert": "ann",
    "benchmark": "toy",
}
PUBLISHED = {"expert": "ann", "benchmark": "toy", "subject": "math", "score": 0.5, "n": 9}
ANSWERED = {
    "question_id": 70,
    "question": "Which?",
    "options": ["one", "two"],
    "answer": "B",
    "answer_index": 1,
    "category": "math",
    "cot_content": "",
    "src": "ori_mmlu-x",
    "model_outputs": "The answer is (B).",
    "pred": "B",
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"}}
CHAT = prompt_files.chat(
    1,
    "hello",
    max_tokens=3,
    seed=1,
    stop=["x"],
    messages=[
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "hello"}, IMAGE]},
    ],
)
PLAIN = prompt_files.plain(2, "hello", max_tokens=3, temperature=0.5, top_p=1.0, n=1, user=None)
EXPERIMENT = {
    "title": "t",
    "benchmark": "toy",
    "other_benchmark": "other",
    "protocols": ["in-distribution", "other-benchmark"],
    "seeds": [0, 1],
    "pools": {"two": ["ann", "bob"]},
    "routers": [{"name": "r", "level": "query", "kind": "tfidf", "policy": "best", "max_fallback": 0.4}],
}
SETTINGS = {
    "database_url": "sqlite:///x.db",
    "broker_url": "redis://h/0",
    "home": "~/x",
    "lease_s": 60,
    "open_broker": True,
}
QUESTION = {"id": 1, "question": "What is 2 + 2?", "choices": ["3", "4"]}
BENCHMARKS: dict[str, tuple[str, Any]] = {
    "mmlu-pro": (
        "test.jsonl",
        {name: ANSWERED[name] for name in ("question_id", "question", "options", "answer", "category")},
    ),
    "hellaswag": (
        "hellaswag_val.jsonl",
        {"ind": 4, "activity_label": "A", "ctx_a": "A cook stirs.", "ctx_b": "she", "endings": ["a", "b"], "label": 0},
    ),
    "winogrande": ("dev.jsonl", {"sentence": "The _ fell.", "option1": "cup", "option2": "box", "answer": "2"}),
    "mmmu": (
        "validation.jsonl",
        {
            "id": "validation_Art_1",
            "question": "<image 1> Which?",
            "options": "['one', 'two']",
            "answer": "B",
            "question_type": "multiple-choice",
        },
    ),
    "scienceqa": (
        "test.jsonl",
        {
            "question": "Which?",
            "choices": ["a", "b"],
            "answer": 1,
            "hint": "",
            "image": None,
            "subject": "social science",
        },
    ),
    "skills": ("skills.jsonl", {"id": "a-1", "subject": "units", "question": "How many?", "answer": "2"}),
}


def _read_all(rows: Callable[[Path], Iterable[Any]], path: Path, content: bytes) -> None:
    path.write_bytes(content)
    hostile.require_own_errors(lambda: list(rows(path)))


# --- results and questions ---------------------------------------------------------------------------------------

TABLES = [
    (table.read_results, ROW),
    (lambda path: table.read_queries(path, "toy"), ROW),
    (reported.read_reported, PUBLISHED),
]
over_tables = pytest.mark.parametrize(("read", "row"), TABLES, ids=["results", "queries", "reported"])


@over_tables
@hostile.fuzzed
@given(data=st.data())
def test_jsonl_tables(
    read: Callable[[Path], Iterable[Any]], row: dict[str, Any], data: st.DataObject, tmp_path: Path
) -> None:
    _read_all(read, tmp_path / "t.jsonl", data.draw(hostile.lines(row, row | {"key": "q2", "subject": "law"})))


@over_tables
@hostile.fuzzed
@given(data=st.data())
def test_csv_tables(
    read: Callable[[Path], Iterable[Any]], row: dict[str, Any], data: st.DataObject, tmp_path: Path
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=data.draw(st.sampled_from(",;\t")))
    writer.writerow(
        [data.draw(st.just(name) | hostile.odd_texts) if data.draw(st.integers(0, 9)) == 0 else name for name in row]
    )
    for _ in range(2):
        writer.writerow(
            [data.draw(hostile.odd_values) if data.draw(st.integers(0, 3)) == 0 else row[name] for name in row]
        )
    content = written.getvalue().encode("utf-8", "surrogatepass")
    _read_all(read, tmp_path / "t.csv", data.draw(st.just(content) | hostile.damaged(content)))


@over_tables
@hostile.fuzzed
@given(data=st.data())
def test_parquet_tables(
    read: Callable[[Path], Iterable[Any]], row: dict[str, Any], data: st.DataObject, tmp_path: Path
) -> None:
    columns = {}
    for name, value in row.items():
        other = data.draw(st.integers(0, 3)) == 0
        columns[name] = _column(data.draw(hostile.odd_values)) if other else pa.array([value, value])
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    content = buffer.getvalue()
    _read_all(read, tmp_path / "t.parquet", data.draw(st.just(content) | hostile.damaged(content)))


def _column(value: Any) -> pa.Array:
    """Two cells with a value, or with one of another type if Arrow has no type for it."""
    try:
        parquet.write_table(pa.table({"x": (column := pa.array([value, None]))}), io.BytesIO())
        return column
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return pa.array([253402300800, -62135596801], pa.timestamp("s"))  # years 10000 and 0


@hostile.fuzzed
@given(content=hostile.document([ANSWERED, ANSWERED | {"question_id": 71}]), packed=st.booleans())
def test_result_archives(content: bytes, packed: bool, tmp_path: Path) -> None:
    if packed:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("results.json", content)
        content = buffer.getvalue()
    _read_all(mmlu_pro.read, tmp_path / ("r.zip" if packed else "r.json"), content)


@hostile.fuzzed
@given(data=st.data())
def test_damaged_archives(data: st.DataObject, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("results.json", json.dumps([ANSWERED]))
    _read_all(mmlu_pro.read, tmp_path / "r.zip", data.draw(hostile.damaged(buffer.getvalue())))


@pytest.mark.parametrize("name", BENCHMARKS)
@hostile.fuzzed
@given(data=st.data())
def test_benchmark_files(name: str, data: st.DataObject, tmp_path: Path) -> None:
    file, row = BENCHMARKS[name]
    _read_all(registry.load("benchmarks", name)().load, tmp_path / file, data.draw(hostile.lines(row, row)))


# --- what users write --------------------------------------------------------------------------------------------


@hostile.fuzzed
@given(content=hostile.lines(CHAT, PLAIN))
def test_batch_lines(content: bytes, tmp_path: Path) -> None:
    def requests(path: Path) -> Iterable[Any]:
        for line in read_lines(path):
            yield router_input(line.url, line.body), engine_request(line.url, line.body)

    _read_all(requests, tmp_path / "b.jsonl", content)


@hostile.fuzzed
@given(content=hostile.lines(QUESTION, QUESTION))
def test_questions_to_route(content: bytes, tmp_path: Path) -> None:
    _read_all(read_questions, tmp_path / "q.jsonl", content)


@hostile.fuzzed
@given(data=st.data())
def test_experiment_files(data: st.DataObject, tmp_path: Path) -> None:
    hostile.require_own_errors(lambda: read_experiment(_toml(tmp_path / "plan.toml", EXPERIMENT, data)))


@hostile.fuzzed
@given(data=st.data())
def test_settings_files(data: st.DataObject, tmp_path: Path) -> None:
    _toml(tmp_path / CONFIG_FILE, SETTINGS, data)
    hostile.require_own_errors(lambda: Settings.load(tmp_path))


def _toml(path: Path, document: dict[str, Any], data: st.DataObject) -> Path:
    changed = data.draw(hostile.changed(document))
    rows = changed.items() if isinstance(changed, dict) else [("x", changed)]
    content = "".join(f"{json.dumps(str(key))} = {hostile.as_toml(value)}\n" for key, value in rows)
    written = content.encode("utf-8", "surrogatepass")
    path.write_bytes(data.draw(st.just(written) | hostile.damaged(written)))
    return path
