"""EleutherAI's lm-evaluation-harness: samples_TASK_TIME.jsonl and results_TIME.json in a folder of a model.

Version 0.4.2 and older write MODELARGS_TASK.jsonl, which is a list, and results.json. The details of the Open LLM
Leaderboard 2 are of this format too. The key of a query is TASK/DOC_ID, the place of the question in its data set.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchcoe_jobs.domain import Note, Query, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.harnesses import harness_docs, harness_runs
from benchcoe_jobs.importers.harnesses.harness_folder import Layout
from benchcoe_jobs.importers.harnesses.harness_runs import Run
from benchcoe_jobs.importers.harnesses.known_tasks import BenchmarkTask, known_task
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.reading.json_rows import json_rows
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

FORM = "lm-eval"

_TIME = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?"
_SAMPLES = re.compile(rf"samples_(?P<task>.+)_(?P<time>{_TIME})\.jsonl?(?:\.gz)?")
_RESULTS = re.compile(rf"(?:.*_)?(?P<time>{_TIME})\.json")

_SAMPLE = {"doc_id", "doc", "target", "arguments", "filtered_resps"}
_OTHERS = _SAMPLE | {"resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash"}
_INVALID = "[invalid]"
"""What a filter gives if it finds no answer."""


class LmEvalImporter:
    """The format `lm-eval`: a file of samples, or the folder of a model with the files of its runs."""

    def recognise(self, source: Source) -> str | None:
        """By the first sample; a folder by the names of its files. A folder with folders in it is not taken as one."""
        if not source.is_folder:
            if _is_samples(source):
                return "its first row has doc_id, doc, arguments and filtered_resps"
            if _LAYOUT.is_lonely(source) and _is_results(source):
                return "it has the results of lm-eval, and no samples are beside it"
            return None
        return "it has samples of lm-eval" if _LAYOUT.is_folder_of_samples(source) else None

    def accompanies(self, source: Source) -> bool:
        """Whether a file has the results beside samples: a pattern such as folder/* names it too."""
        return _is_results(source)

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The samples of each task by one metric and one filter; of several runs of a task, those of the newest.

        A task of a benchmark of the program gives queries of it, and responses, if there are any, are scored by it.
        Tasks without the filter of the command are read by their first one. Raises InputError if no task has it.
        """
        options.require_only(FORM, "metric", "filter", "subject_from")
        filters: dict[str, None] = {}

        def read_task(run: Run, file: str | None) -> Iterator[Item]:
            task = _Task(run, file, options)
            yield from task.read()
            filters.update(dict.fromkeys(task.filters))

        yield from _LAYOUT.read(source, "lm_eval", read_task)
        if options.filter and filters and options.filter not in filters:
            raise InputError(f"{source}: no task has the filter {options.filter!r}; there are {', '.join(filters)}")


class _Task:
    """The samples of one task."""

    def __init__(self, run: Run, file: str | None, options: ReadOptions) -> None:
        self._run = run
        self._file = file
        self._options = options
        self._known = known_task(run.task)
        self._benchmark = options.benchmark or (self._known.benchmark if self._known else run.benchmark(FORM))
        self._by_place = run.config.get("output_type", "multiple_choice") == "multiple_choice"
        self._metric: str | None = None
        self._filter = self._wanted_filter()
        self.filters: Counter[str] = Counter()
        """The filters of the rows that were read, and how many rows have each."""
        self._duplicates = DuplicateGuard()

    def read(self) -> Iterator[Item]:
        run = self._run
        yield from filter(None, converted(run.samples, json_rows(run.samples), self._result, self._file))
        if not self.filters:  # no row can be used
            return
        if self._filter not in self.filters or self._metric is None:
            raise InputError(f"{run.samples}: no row has the filter {self._filter!r}; it has {', '.join(self.filters)}")
        if len(self.filters) > 1:
            others = ", ".join(name for name in self.filters if name != self._filter)
            yield Note(f"{run.task}: scores of the filter {self._filter}, not of {others} (--filter chooses)")
        yield from harness_runs.metric_notes(run.task, self._metric, self._options)
        if mean := run.mean(self._metric, self._filter or ""):
            yield mean if run.is_mean(self._metric) else Note(harness_runs.not_a_mean(run.task, self._metric))

    def _wanted_filter(self) -> str | None:
        """The filter of the command if the task has it; None for the first one in the file."""
        filters = self._run.filters()
        wanted = self._options.filter
        return wanted if wanted in filters or (wanted and len(filters) > 1) or not filters else None

    def _result(self, line: int, row: Row) -> Result | None:
        name = row.get("filter", "none")
        if not isinstance(name, str) or len(self.filters) > 100:
            raise RowError(f"filter {columns.quoted(name)} is not the name of a filter")
        self.filters[name] += 1
        if self._filter is None:
            self._filter = name
        if name != self._filter:
            return None
        if self._metric is None:
            self._metric = harness_runs.chosen_metric(self._run, _metrics(row), self._options)
        place = columns.count(row, "doc_id", least=0)
        doc = row.get("doc")
        if place is None or not isinstance(doc, dict):
            raise RowError("doc_id or doc is missing")
        self._duplicates.claim(line, f"document {place}", place)
        score = columns.score({"score": row.get(self._metric)})
        query = self._query(row, doc, place)
        scored_here = None
        if self._known and self._benchmark == self._known.benchmark:
            scored_here = _to_score(row, query, self._known)
        return Result(
            line=line,
            benchmark=self._benchmark,
            query=query,
            expert=self._run.expert,
            text=_response(row) if scored_here is None else scored_here,
            score=score if scored_here is None else None,
            claimed=None if scored_here is None else _claimed(row),
            task=self._run.task,
            file=self._file,
            file_score=None if scored_here is None else score,
        )

    def _query(self, row: Row, doc: Row, place: int) -> Query:
        if self._known:
            return self._known.query(doc, place)
        arguments = _arguments(row)
        choices = harness_docs.options(doc, arguments)
        field = self._options.subject_from
        return Query(
            key=f"{self._run.task}/{place}",
            subject=columns.required(doc, field) if field else self._run.task,
            text=harness_docs.question(doc, self._run.config.get("doc_to_text"), arguments),
            choices=choices,
            answer=harness_docs.answer(row.get("target"), choices, by_place=self._by_place and len(arguments) > 1),
        )


def _to_score(row: Row, query: Query, known: BenchmarkTask) -> str | None:
    """What the scorer of a benchmark reads: the response, or log-likelihoods as JSON; None if it cannot score the row.

    The harness has one log-likelihood for an option of WinoGrande, and the scorer needs two. The leaderboard asks for
    log-likelihoods of letters where the benchmarks ask for text.
    """
    values = _likelihoods(row)
    if values is None:
        return _response(row)
    return json.dumps(values) if known.benchmark == "hellaswag" and len(values) == len(query.choices) else None


def _likelihoods(row: Row) -> list[float] | None:
    """The log-likelihoods of the continuations; None if the row has generated text. Since 0.4.3 they are strings."""
    values = row.get("filtered_resps")
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(pair, list) and len(pair) == 2 for pair in values)
    ):
        return None
    try:
        return [float(pair[0]) for pair in values]
    except (TypeError, ValueError, OverflowError):
        return None


def _response(row: Row) -> str | None:
    """The generated text: the first response to the first request."""
    value = row.get("resps")
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) and _likelihoods(row) is None else None


def _claimed(row: Row) -> str | None:
    value = row.get("filtered_resps")
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) and value != _INVALID and _likelihoods(row) is None else None


def _arguments(row: Row) -> list[list[Any]]:
    """The arguments of each request: a list of lists, or since 0.4.3 objects in objects."""
    value = row.get("arguments")
    requests = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(requests, list):
        return []
    return [list(one.values()) if isinstance(one, dict) else one for one in requests if isinstance(one, dict | list)]


def _metrics(row: Row) -> list[str]:
    """The metrics of a row whose values are numbers or truth values."""
    listed = row.get("metrics")
    names = listed if isinstance(listed, list) else [name for name in row if name not in _OTHERS]
    return [name for name in names if isinstance(name, str) and isinstance(row.get(name), int | float)]


def _is_samples(source: Source) -> bool:
    return not source.is_folder and isinstance(source.first_record, dict) and source.first_record.keys() >= _SAMPLE


_LAYOUT = Layout(_SAMPLES, _RESULTS, _is_samples, untimed="results.json")


def _is_results(source: Source) -> bool:
    head = source.head
    return b'"results"' in head and b'"configs"' in head


LM_EVAL = LmEvalImporter()
