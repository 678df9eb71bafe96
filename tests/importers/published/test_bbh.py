"""The published outputs of BIG-Bench Hard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from needs import SHARED_DATA, skip_or_fail

from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import ReadOptions, TaskMean
from benchcoe_jobs.importers.published.bbh import BBH
from benchcoe_jobs.importers.source import Source

COT = SHARED_DATA / "bbh" / "code-davinci-002-cot"
DIRECT = SHARED_DATA / "formats" / "bbh-direct" / "code-davinci-002-direct"
SHOTS = "Tell which.\n\nQ: One?\nA: (A)\n\n"


def items(path: Path) -> list[Any]:
    source = Source(path)
    assert BBH.recognise(source)
    return list(BBH.read(source, ReadOptions()))


def outputs(folder: Path, *rows: Any, accuracy: object = 50.0, task: str = "snarks") -> Path:
    path = folder / f"{task}_few_shot_template_0-255000.json"
    path.write_text(json.dumps({"canary": "none", "outputs": rows}))
    (folder / f"{task}_few_shot_template_0-255000_eval_metrics.jsonl").write_text(json.dumps({"accuracy": accuracy}))
    return path


def output(question: str, prediction: str, target: str = "(A)", end: str = "\nA:") -> dict[str, str]:
    return {"input": f"{SHOTS}Q: {question}{end}", "prediction": prediction, "target": target}


@pytest.mark.parametrize(("folder", "n_tasks", "cut"), [(COT, 10, False), (DIRECT, 2, True)])
def test_published_files_meet_the_benchmark_and_their_accuracy(folder: Path, n_tasks: int, cut: bool) -> None:
    if not folder.is_dir():
        skip_or_fail(f"no outputs in {folder}")
    found = items(folder)
    results = [item for item in found if isinstance(item, Result)]
    means = [item for item in found if isinstance(item, TaskMean)]
    assert len(found) == len(results) + len(means)
    assert len(means) == n_tasks
    queries = {query.key: query for query in BigBenchHard().load(SHARED_DATA / "bbh")}
    assert all(queries[row.query.key].content_hash == row.query.content_hash for row in results)
    assert {row.expert for row in results} == {folder.name} == {mean.expert for mean in means}
    for mean in means:
        scores = [row.file_score or 0.0 for row in results if row.task == mean.task]
        if cut:
            assert (mean.task, sum(scores)) in [("penguins_in_a_table", 48), ("snarks", 38)]
            assert mean.n is not None
            assert len(scores) == 60 < mean.n
        else:
            assert sum(scores) / len(scores) == pytest.approx(mean.value, abs=mean.tolerance)
            assert len(scores) == mean.n


def test_one_file(tmp_path: Path) -> None:
    path = outputs(tmp_path, output("Which?", "(A)"), output("Why?", "So the answer is (A).", "(B)"))
    name = path.name
    assert items(path) == [
        Result(1, "bbh", Query("snarks/0", "snarks", "Which?", answer="(A)"), None, "(A)", task="snarks")._replace(
            file_score=1.0, file=name
        ),
        Result(2, "bbh", Query("snarks/1", "snarks", "Why?", answer="(B)"), None, "So the answer is (A).")._replace(
            task="snarks", file_score=0.0, file=name
        ),
        TaskMean(None, "snarks", 0.5, f"accuracy in {name[:-5]}_eval_metrics.jsonl", n=178),
    ]


def test_rows_and_files_that_cannot_be_used(tmp_path: Path) -> None:
    no_question = 'its input does not end with a question, "Q: ... A:"'
    path = outputs(tmp_path, output("Which?", "(A)"), 7, {"input": "Q: Which?\nA:"}, output("W?", "(A)", end="\nB:"))
    assert [(row.line, row.reason) for row in items(path) if isinstance(row, SkippedRow)] == [
        (2, "not a JSON object"),
        (3, no_question),
        (4, no_question),
    ]
    outputs(tmp_path, output("Which?", "(A)"), accuracy="half")
    with pytest.raises(InputError, match=r"_eval_metrics\.jsonl: it has no accuracy from 0 to 100"):
        items(path)
    path.with_name(f"{path.stem}_eval_metrics.jsonl").unlink()
    assert isinstance(items(path)[-1], Note)


def test_other_folders_are_not_taken_for_outputs(tmp_path: Path) -> None:
    path = outputs(tmp_path, output("Which?", "(A)"))
    assert BBH.recognise(Source(tmp_path))
    (tmp_path / "other.json").write_text("[]")
    assert BBH.recognise(Source(tmp_path)) is None
    assert BBH.recognise(Source(path.rename(tmp_path / "unknown_few_shot.json"))) is None
