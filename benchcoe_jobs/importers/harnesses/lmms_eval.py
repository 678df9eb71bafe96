"""lmms-eval 0.3 and later: TIME_samples_TASK.jsonl and TIME_results.json in a folder of a model.

The samples have the prompt (`input`), not the row of the data set, and no images. The key of a query is TASK/DOC_ID;
for MMMU and MMStar it is that of the benchmark. Their queries are known by their keys alone, and the responses are
scored here if the benchmark is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchcoe_jobs.benchmarks.mmmu_open import score_open
from benchcoe_jobs.domain import Note, Query, Result
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.harnesses import harness_runs
from benchcoe_jobs.importers.harnesses.harness_folder import Layout
from benchcoe_jobs.importers.harnesses.harness_runs import Run
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.reading.json_rows import json_rows
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

FORM = "lmms-eval"

_SAMPLE = {"doc_id", "target", "filtered_resps", "input"}
_OTHERS = _SAMPLE | {"doc", "arguments", "resps", "token_counts", "doc_hash", "filter", "metrics", "input_media"}
_SUBJECTS = ("subdomain", "category")
"""Members of the value of a metric that name a subject."""

_MMSTAR_METRIC = "average"
_KNOWN = {"mmmu_val": "mmmu", "mmstar": "mmstar"}


class LmmsEvalImporter:
    """The format `lmms-eval`: a file of samples, or the folder of a model with the files of its runs."""

    def recognise(self, source: Source) -> str | None:
        """By the first sample; a folder by the names of its files. A folder with folders in it is not taken as one."""
        if not source.is_folder:
            if _is_samples(source):
                return "its first row has doc_id, input and filtered_resps, and no doc"
            if _LAYOUT.is_lonely(source) and b'"results"' in source.head:
                return "it has the results of lmms-eval, and no samples are beside it"
            return None
        return "it has samples of lmms-eval" if _LAYOUT.is_folder_of_samples(source) else None

    def accompanies(self, source: Source) -> bool:
        """Whether a file has the results beside samples: a pattern such as folder/* names it too."""
        return source.path.name.endswith("_results.json") and b'"results"' in source.head

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The samples of each task by one metric; of several runs of a task, those of the newest."""
        options.require_only(FORM, "metric", "subject_from")
        return _LAYOUT.read(source, "lmms_eval", lambda run, file: _Task(run, file, options).read())


class _Task:
    """The samples of one task."""

    def __init__(self, run: Run, file: str | None, options: ReadOptions) -> None:
        self._run = run
        self._file = file
        self._options = options
        self._known = _KNOWN.get(run.task)
        self._benchmark = options.benchmark or self._known or run.benchmark(FORM)
        self._metric: str | None = None
        self._duplicates = DuplicateGuard()

    def read(self) -> Iterator[Item]:
        run = self._run
        yield from converted(run.samples, json_rows(run.samples), self._result, self._file)
        if self._metric is None:
            return
        yield from harness_runs.metric_notes(run.task, self._metric, self._options)
        if mean := run.mean(self._metric, "none"):
            if self._known == "mmstar" or (self._known is None and not run.is_mean(self._metric)):
                yield Note(harness_runs.not_a_mean(run.task, self._metric))
            else:
                yield mean

    def _result(self, line: int, row: Row) -> Result:
        if self._metric is None:
            self._metric = self._chosen(row)
        place = columns.count(row, "doc_id", least=0)
        if place is None:
            raise RowError("doc_id is missing")
        self._duplicates.claim(line, f"document {place}", place)
        value = row.get(self._metric)
        details: Row = value if isinstance(value, dict) else {}
        score = self._score(row, value, details)
        prompt, completion = _tokens(row)
        return Result(
            line=line,
            benchmark=self._benchmark,
            query=self._query(row, details, place),
            expert=self._run.expert,
            text=_response(row),
            score=score if self._known is None else None,
            claimed=_claimed(details),
            prompt_tokens=prompt,
            completion_tokens=completion,
            task=self._run.task,
            file=self._file,
            file_score=None if self._known is None else score,
            prompt=row["input"] if self._known and isinstance(row.get("input"), str) else None,
        )

    def _chosen(self, row: Row) -> str:
        if self._known == "mmstar":
            return _MMSTAR_METRIC
        if self._known == "mmmu":
            return "mmmu_acc"
        found = [name for name, value in row.items() if name not in _OTHERS and _has_score(value)]
        return harness_runs.chosen_metric(self._run, found, self._options)

    def _score(self, row: Row, value: object, details: Row) -> float:
        if not details:
            return columns.score({"score": value})
        if "score" in details or self._known != "mmmu":
            return columns.score(details)
        return _mmmu_score(row, details)

    def _query(self, row: Row, details: Row, place: int) -> Query:
        """The query of a row. Queries of the program's benchmarks are known by their keys: their images are missing."""
        if self._known == "mmmu":
            key, subject, text = columns.required(details, "id"), columns.required(details, "subdomain"), ""
        elif self._known == "mmstar":
            key = columns.required(details, "question_id")
            subject = next((name for name, value in row.items() if value == details and name != _MMSTAR_METRIC), "")
            text = ""
        else:
            key = f"{self._run.task}/{place}"
            subject = self._subject(row, details)
            text = columns.text(row, "input") or ""
        if self._known:
            return Query(key=key, subject=subject, text=text)
        if not text:
            raise RowError("input is empty")
        return Query(key=key, subject=subject, text=text, answer=columns.name(row, "target"))

    def _subject(self, row: Row, details: Row) -> str:
        field = self._options.subject_from
        if field:
            return columns.required(details if field in details else row, field)
        named = next((columns.name(details, name) for name in _SUBJECTS if isinstance(details.get(name), str)), None)
        return named or self._run.task


def _mmmu_score(row: Row, details: Row) -> float:
    """Whether the letter that was found is the answer. The file has no score; an open answer is scored as in MMMU."""
    answer = details.get("answer")
    if details.get("question_type") == "multiple-choice":
        found = details.get("parsed_pred")
        found = found[0] if isinstance(found, list) and found else found
        return float(found == answer)
    answers = answer if isinstance(answer, list) else [answer]
    return score_open(_response(row) or "", tuple(text for text in answers if isinstance(text, str))).score


def _has_score(value: object) -> bool:
    if isinstance(value, dict):
        value = value.get("score")
    return isinstance(value, int | float)


def _response(row: Row) -> str | None:
    """The response. `resps` is left out where it equals `filtered_resps`, and both are lists in older versions."""
    value = row.get("resps", row.get("filtered_resps"))
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) else None


def _claimed(details: Row) -> str | None:
    value = details.get("parsed_pred")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str | None):
        return value
    return json.dumps(value, ensure_ascii=False)


def _tokens(row: Row) -> tuple[int | None, int | None]:
    counts = row.get("token_counts")
    first: Mapping[str, Any] = counts[0] if isinstance(counts, list) and counts and isinstance(counts[0], dict) else {}
    return columns.count(first, "input_tokens", least=0), columns.count(first, "output_tokens", least=0)


def _is_samples(source: Source) -> bool:
    first = None if source.is_folder else source.first_record
    return isinstance(first, dict) and first.keys() >= _SAMPLE and "doc" not in first


_TIME = r"\d{8}_\d{6}"
_LAYOUT = Layout(
    re.compile(rf"(?P<time>{_TIME})_samples_(?P<task>.+)\.jsonl(?:\.gz)?"),
    re.compile(rf"(?P<time>{_TIME})_results\.json"),
    _is_samples,
)

LMMS_EVAL = LmmsEvalImporter()
