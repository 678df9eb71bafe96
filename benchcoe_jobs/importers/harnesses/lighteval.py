"""Hugging Face's lighteval: details/MODEL/TIME/details_TASK_TIME.parquet and results/MODEL/results_TIME.json.

A task is called BENCHMARK:SUBJECT|SHOTS. The key of a query is BENCHMARK:SUBJECT/ID, where lighteval's id is the place
of the question in its data set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.benchmarks.files import records
from benchcoe_jobs.domain import Note, Query, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.harnesses import harness_runs
from benchcoe_jobs.importers.harnesses.harness_runs import Run, member
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

FORM = "lighteval"

_COLUMNS = {"doc", "model_response", "metric"}
_FILE = re.compile(r"details_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.parquet")


class _Details(NamedTuple):
    """The details of one task, and what the results of its run say."""

    path: Path
    task: str
    time: str
    expert: str | None
    results: Mapping[str, Any]
    stated_in: str


class LightEvalImporter:
    """The format `lighteval`: a file of details, or the output folder with `details` and `results`."""

    def recognise(self, source: Source) -> str | None:
        """By the columns of a file; an output folder by the names in it."""
        if not source.is_folder:
            return "it has the columns doc, model_response and metric" if _is_details(source) else None
        names = {child.path.name for child in source.children if child.is_folder}
        if "details" in names and any(_FILE.fullmatch(path.name) for path in source.files):
            return "its folder details has Parquet files of lighteval"
        return None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The details of each task by one metric; of several runs of a model and task, those of the newest."""
        options.require_only(FORM, "metric", "subject_from")
        newest: dict[tuple[str | None, str], _Details] = {}
        for path in source.files:
            if source.is_folder and not _FILE.fullmatch(path.name):
                continue
            found = _details(path)
            earlier = newest.get((found.expert, found.task))
            if earlier is not None:
                older = min(earlier, found, key=lambda one: one.time)
                yield Note(f"{older.path.name}: passed over, because there is a newer run of {found.task}")
            if earlier is None or found.time > earlier.time:
                newest[found.expert, found.task] = found
        for details in newest.values():
            yield from _Task(details, details.path.name if source.is_folder else None, options).read()


class _Task:
    """The details of one task."""

    def __init__(self, details: _Details, file: str | None, options: ReadOptions) -> None:
        self._details = details
        self._file = file
        self._options = options
        self._metric: str | None = None
        name = _without_shots(details.task)
        self._name = name
        self._benchmark, _, subset = name.partition(":")
        self._subject = subset or name
        self._duplicates = DuplicateGuard()

    def read(self) -> Iterator[Item]:
        rows = ((record.number, record.cells) for record in records(self._details.path))
        yield from converted(self._details.path, rows, self._result, self._file)
        if self._metric is None:
            raise InputError(f"{self._details.path}: it has no row")
        yield from harness_runs.metric_notes(self._details.task, self._metric, self._options)
        if not self._details.results:
            yield Note(f"{self._details.task}: there are no results beside the details, so no mean is compared")
        elif mean := self._mean(self._metric):
            yield mean

    def _result(self, line: int, row: Row) -> Result:
        doc, metric, response = _member(row, "doc"), _member(row, "metric"), _member(row, "model_response")
        if self._metric is None:
            self._metric = self._chosen(metric)
        place = columns.name(doc, "id") or str(line - 1)
        self._duplicates.claim(line, f"document {place}", place)
        texts, tokens = response.get("text"), response.get("output_tokens")
        generated = texts[0] if isinstance(texts, list) and texts else None
        counted = tokens[0] if isinstance(tokens, list) and tokens else None
        return Result(
            line=line,
            benchmark=self._options.benchmark or harness_runs.own_name(self._benchmark, FORM),
            query=self._query(doc, place),
            expert=self._details.expert,
            text=generated if isinstance(generated, str) else None,
            score=columns.score({"score": metric.get(self._metric)}),
            completion_tokens=len(counted) if isinstance(counted, list) else None,
            task=self._details.task,
            file=self._file,
        )

    def _chosen(self, metric: Row) -> str:
        found = [name for name, value in metric.items() if isinstance(value, int | float)]
        run = Run(self._details.path, self._name, self._details.expert)
        return harness_runs.chosen_metric(run, found, self._options)

    def _query(self, doc: Row, place: str) -> Query:
        text = columns.text(doc, "original_query") or columns.text(doc, "query")
        if text is None:
            raise RowError("query is empty")
        choices, answer = _choices(doc)
        field = self._options.subject_from
        specific = doc.get("specific")
        subject = columns.required(specific if isinstance(specific, dict) else doc, field) if field else self._subject
        return Query(key=f"{self._name}/{place}", subject=subject, text=text, choices=choices, answer=answer)

    def _mean(self, metric: str) -> TaskMean | None:
        details = self._details
        value = harness_runs.fraction(member(member(details.results, "results"), details.task).get(metric))
        if value is None:
            return None
        config = member(details.results, "config_tasks")
        n = (member(config, details.task) or member(config, self._name)).get("effective_num_docs")
        stated = f"{metric} of {details.task} in {details.stated_in}"
        return TaskMean(details.expert, details.task, value, stated, n=n if type(n) is int and n > 0 else None)


def _choices(doc: Row) -> tuple[tuple[str, ...], str | None]:
    """The choices and the answer. If all of them are correct, they are reference answers to an open question."""
    listed = doc.get("choices")
    if not isinstance(listed, list) or not listed:
        return (), None
    choices = tuple(choice.strip() for choice in columns.texts("choices", listed))
    gold = doc.get("gold_index")
    places = {place for place in (gold if isinstance(gold, list) else [gold]) if type(place) is int}
    places &= set(range(len(choices)))
    correct = [choices[place] for place in sorted(places)]
    if len(correct) == len(choices):
        return (), correct[0] if len(correct) == 1 else json.dumps(correct, ensure_ascii=False)
    if len(places) != 1:
        return choices, json.dumps(correct, ensure_ascii=False) if correct else None
    place = places.pop()
    return choices, LETTERS[place] if place < len(LETTERS) else choices[place]


def _details(path: Path) -> _Details:
    """What a file is about: by its name and place, and by the results of the same time."""
    named = _FILE.fullmatch(path.name)
    time = named["time"] if named else ""
    parts = path.absolute().parts
    results: Mapping[str, Any] = {}
    stated_in, expert = "", None
    if "details" in parts[:-2]:
        at = len(parts) - 1 - parts[::-1].index("details")
        expert = "/".join(parts[at + 1 : -2]) or None
        beside = Path(*parts[:at], "results", *parts[at + 1 : -2], f"results_{time}.json")
        if beside.is_file():
            results, stated_in = harness_runs.results_document(beside), beside.name
    name = member(results, "config_general").get("model_name")
    expert = name if isinstance(name, str) and name else expert
    return _Details(path, named["task"] if named else path.stem, time, expert, results, stated_in)


def _without_shots(task: str) -> str:
    """The name in NAME|SHOTS, or in SUITE|NAME|SHOTS|0 of older versions."""
    parts = task.split("|")
    return parts[1] if len(parts) > 2 else parts[0]


def _is_details(source: Source) -> bool:
    return source.suffix == ".parquet" and set(source.columns) >= _COLUMNS


def _member(row: Row, name: str) -> Row:
    value = row.get(name)
    if not isinstance(value, dict):
        raise RowError(f"{name} is missing")
    return value


LIGHTEVAL = LightEvalImporter()
