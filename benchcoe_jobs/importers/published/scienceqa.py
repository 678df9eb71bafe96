"""The ScienceQA results that LLaVA publishes, and answer files of its scripts.

github.com/haotian-liu/LLaVA, llava/eval/table/results/: one object with acc, correct, count, results (the index of the
answer by id, -1 if there is none) and outputs (the response by id). The correct answers are in problems.json of
github.com/lupantech/ScienceQA, or in the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.benchmarks.files import records
from benchcoe_jobs.benchmarks.scienceqa import ScienceQA
from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import UNKNOWN_SUBJECT, Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.published.llava_answers import is_answers, read_answers
from benchcoe_jobs.importers.reading.columns import RowError, checked, quoted
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.source import Source

PROBLEMS = "problems.json"

_START = re.compile(rb'\s*\{\s*"acc":\s*[\d.]+,\s*"correct":\s*\d+,\s*"count":\s*\d+,\s*"results":\s*\{')
_ID = re.compile(r"\d+")
_PROMPT = re.compile(r"Options: \(A\) ")


class ScienceQAImporter:
    """The format `scienceqa`. It is accompanied by problems.json."""

    def recognise(self, source: Source) -> str | None:
        """By the first names of LLaVA's results, or by prompts of ScienceQA in an answer file."""
        if _START.match(source.head):
            return "it has acc, correct, count and results by id, as LLaVA writes them"
        return "its prompts are those of ScienceQA" if is_answers(source, _ID, _PROMPT) else None

    def accompanies(self, source: Source) -> bool:
        """Whether a file is problems.json."""
        return source.path.name == PROBLEMS

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The responses, to be scored against problems.json, or without it against the stored queries.

        With problems.json, the file's own accuracy is compared. Raises InputError for a damaged file.
        """
        options.require_only("scienceqa")
        benchmark = options.benchmark or ScienceQA.name
        if is_answers(source, _ID):
            yield from read_answers(source.path, benchmark)
        else:
            problems = next((path for path in options.companions if path.name == PROBLEMS), None)
            beside = source.path.with_name(PROBLEMS)
            yield from _results(source.path, benchmark, problems or (beside if beside.is_file() else None))


SCIENCEQA = ScienceQAImporter()


def _results(path: Path, benchmark: str, problems: Path | None) -> Iterator[Item]:
    document = read_document(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: not a JSON object")
    results, outputs = document.get("results"), document.get("outputs")
    if not isinstance(results, dict) or not isinstance(outputs, dict) or not results or not outputs:
        raise InputError(f"{path}: it does not have results and outputs by id")
    known = None if problems is None else _queries(problems)
    for line, (key, index) in enumerate(results.items(), 1):
        try:
            yield _row(line, benchmark, checked("id", key), index, outputs, known)
        except RowError as reason:
            yield SkippedRow(line, str(reason))
    correct, count = document.get("correct"), document.get("count")
    if not (isinstance(correct, int) and isinstance(count, int) and 0 <= correct <= count and count > 0):
        raise InputError(f"{path}: its correct {quoted(correct)} and count {quoted(count)} are not two counts")
    if known is None:
        yield Note(
            f"its accuracy {correct / count:.4f} is not compared: it needs {PROBLEMS} of ScienceQA, beside the file or "
            "named after it"
        )
    else:
        yield TaskMean(None, benchmark, correct / count, f"correct of count in {path.name}", n=count)


def _row(
    line: int,
    benchmark: str,
    key: str,
    index: Any,
    outputs: Mapping[str, Any],
    known: Mapping[str, Query] | None,
) -> Result:
    if type(index) is not int or not -1 <= index < len(LETTERS):
        raise RowError(f"its result {quoted(index)} is not the index of an option, or -1")
    output = outputs.get(key)
    if not isinstance(output, str):
        raise RowError(f"outputs has no response for id {quoted(key)}")
    query = Query(key, UNKNOWN_SUBJECT, "") if known is None else known.get(key)
    if query is None:
        raise RowError(f"{PROBLEMS} has no question with the id {quoted(key)}")
    claimed = None if index < 0 else LETTERS[index]
    return Result(
        line=line,
        benchmark=benchmark,
        query=query,
        text=checked("output", output),
        claimed=claimed,
        task=benchmark,
        file_score=None if known is None else float(claimed == query.answer),
    )


def _queries(path: Path) -> dict[str, Query]:
    """The questions without their texts: these belong to images, which need not be there."""
    benchmark = ScienceQA()
    queries = {}
    for row in records(path):
        choices = row.texts("choices")
        key = row.text("id")
        queries[key] = Query(
            key, row.one_of("subject", benchmark.subjects), "", choices, row.lettered("answer", choices)
        )
    return queries
