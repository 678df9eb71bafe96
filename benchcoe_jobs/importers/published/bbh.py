"""The outputs that BIG-Bench Hard publishes, with or without a chain of thought: one file for each task.

github.com/suzgunmirac/BIG-Bench-Hard, code-davinci-002-outputs/: TASK_few_shot_template_0-255000.json holds the
prompts, responses and targets in the order of the task's questions; TASK_..._eval_metrics.jsonl holds the accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.benchmarks.files import Record
from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.reading.columns import RowError, text
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.source import Source

_TASKS = BigBenchHard.subjects
_SIZES = {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}
_SIZE = 250
"""The number of questions of a task that is not listed above."""

_METRICS = "_eval_metrics.jsonl"
_RECORD = (b'"outputs"', b'"input"', b'"prediction"', b'"target"')
_BEFORE_QUESTION = "\n\nQ: "
_AFTER_QUESTION = re.compile(r"\nA:( Let's think step by step\.)?\s*\Z")


class BbhImporter:
    """The format `bbh`. A folder of such files is one import, whose expert has the name of the folder."""

    def recognise(self, source: Source) -> str | None:
        """By the name of a task and the names in its first record; of a folder, by its files."""
        if not source.is_folder:
            return "it has the prompts, predictions and targets of a task" if _is_outputs(source) else None
        files = [child for child in source.children if child.path.suffix in (".json", ".jsonl")]
        outputs = [child for child in files if not child.path.name.endswith(_METRICS)]
        if not outputs or any(child.is_folder for child in source.children) or not all(map(_is_outputs, outputs)):
            return None
        return "its files are outputs of tasks of BIG-Bench Hard"

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The responses, to be scored, and the published accuracy of each task.

        A key is the task and the place in the file, as in the benchmark. The prompt ends with the question. Raises
        InputError for a file that is damaged, or not named after a task.
        """
        options.require_only("bbh")
        if not source.is_folder:
            yield from _outputs(source.path, None, options)
            return
        for child in source.children:
            if child.path.suffix == ".json":
                yield from _outputs(child.path, source.path.resolve().name, options)


BBH = BbhImporter()


def _is_outputs(source: Source) -> bool:
    return (
        not source.is_folder
        and source.path.suffix == ".json"
        and _task(source.path) is not None
        and all(name in source.head for name in _RECORD)
    )


def _task(path: Path) -> str | None:
    return next((task for task in _TASKS if path.stem == task or path.stem.startswith(f"{task}_few_shot")), None)


def _outputs(path: Path, expert: str | None, options: ReadOptions) -> Iterator[Item]:
    task = _task(path)
    if task is None:
        raise InputError(f"{path}: its name does not begin with a task of BIG-Bench Hard, such as snarks_few_shot")
    document = read_document(path)
    outputs = document.get("outputs") if isinstance(document, dict) else None
    if not isinstance(outputs, list) or not outputs:
        raise InputError(f"{path}: it has no outputs")
    scorer = BigBenchHard()
    for number, output in enumerate(outputs):
        try:
            query = _query(scorer, path, task, number, output)
            response = text(output, "prediction") or ""
        except RowError as reason:
            yield SkippedRow(number + 1, str(reason), path.name)
            continue
        yield Result(
            line=number + 1,
            benchmark=options.benchmark or scorer.name,
            query=query,
            expert=expert,
            text=response,
            task=task,
            file_score=scorer.score(response, query).score,  # the published rule, for the published accuracy
            file=path.name,
        )
    yield _published(path, task, expert)


def _query(benchmark: BigBenchHard, path: Path, task: str, number: int, output: Any) -> Query:
    if not isinstance(output, dict):
        raise RowError("not a JSON object")
    prompt = text(output, "input") or ""
    question = prompt.rpartition(_BEFORE_QUESTION)[2]
    end = _AFTER_QUESTION.search(question)
    if end is None or question == prompt:
        raise RowError('its input does not end with a question, "Q: ... A:"')
    row = Record(path, number + 1, {"input": question[: end.start()], "target": output.get("target")})
    try:
        return benchmark.query(row, task, number)
    except InputError as error:
        raise RowError(str(error).removeprefix(f"{path}: row {number + 1}: ")) from error


def _published(path: Path, task: str, expert: str | None) -> TaskMean | Note:
    metrics = path.with_name(path.stem + _METRICS)
    if not metrics.is_file():
        return Note(f"{path.name}: {metrics.name} is not beside it, so its mean is not compared with the published one")
    document = read_document(metrics)
    accuracy = document.get("accuracy") if isinstance(document, dict) else None
    if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 100:
        raise InputError(f"{metrics}: it has no accuracy from 0 to 100")
    return TaskMean(expert, task, accuracy / 100, f"accuracy in {metrics.name}", n=_SIZES.get(task, _SIZE))
