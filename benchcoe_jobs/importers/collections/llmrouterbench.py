"""The results of LLMRouterBench, OpenRouterBench and AvengersPro.

A document, bench/DATASET/SPLIT/MODEL/DATASET-SPLIT-MODEL-TIME.json, has the records of one model on one split of a data
set, and their mean (`performance`, over the records that have a score). The data set is the subject. The key is
DATASET/SPLIT/INDEX, because each data set numbers its questions from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import Note, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.cells import member, plain
from benchcoe_jobs.importers.opening import opening
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

BENCHMARK = "llmrouterbench"

_MEMBERS = {"performance", "model_name", "dataset_name"}
_TIME = re.compile(r"(\d{8}_\d{6})\.json$")


class LlmRouterBenchImporter:
    """The format `llmrouterbench`: a file, or the folder of a model with the files of its runs."""

    def recognise(self, source: Source) -> str | None:
        """By the first members of the document. A folder must have such files only."""
        if source.is_folder:
            children = source.children
            if children and all(not child.is_folder and _is_run(child) for child in children):
                return "its files have performance, model_name and dataset_name"
            return None
        return "it has performance, model_name and dataset_name" if _is_run(source) else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The records of a file, or of the newest run of each model and data set in a folder.

        The time in the name of a file decides which run is the newest. A demo run, which has a part of the questions,
        is used if there is no other.
        """
        options.require_only("llmrouterbench", "subject_from")
        runs: dict[tuple[str, str, str], list[tuple[bool, str, Path]]] = {}
        for path in source.files:
            head = opening(Source(path))
            head = head if head.keys() >= _MEMBERS else _document(path)
            found = _TIME.search(path.name)
            runs.setdefault(_named(head, path), []).append((not head.get("demo"), found[1] if found else "", path))
        for run, files in runs.items():
            is_whole, _, path = max(files)
            if older := [file.name for *_, file in files if file != path]:
                yield Note(f"{', '.join(sorted(older))}: passed over, because {path.name} is the newest whole run")
            if not is_whole:
                yield Note(f"{path.name}: a demo run, which has a part of the questions")
            yield from _run(path, run, options, path.name if source.is_folder else None)


def _is_run(source: Source) -> bool:
    return source.suffix == ".json" and opening(source).keys() >= _MEMBERS


def _document(path: Path) -> dict[str, Any]:
    document = read_document(path)
    if not isinstance(document, dict) or not isinstance(document.get("records"), list):
        raise InputError(f"{path}: it has no list of records")
    return document


def _named(document: dict[str, Any], path: Path) -> tuple[str, str, str]:
    """The model, the data set and the split of a document."""
    names = [document.get(name) for name in ("model_name", "dataset_name", "split")]
    if not all(isinstance(name, str) and name for name in names[:2]):
        raise InputError(f"{path}: model_name or dataset_name is missing or not text")
    return str(names[0]), str(names[1]), str(names[2] or "")


def _run(path: Path, run: tuple[str, str, str], options: ReadOptions, file: str | None) -> Iterator[Item]:
    document = _document(path)
    model, dataset, split = run
    task = f"{dataset}/{split}" if split else dataset
    duplicates = DuplicateGuard()

    def result(line: int, row: Row) -> Result:
        if not isinstance(row, dict):
            raise RowError("not an object")
        if row.get("score") is None:
            raise RowError("it has no score: its request or its evaluation failed")
        index = plain(row.get("index"))
        duplicates.claim(line, f"record {index}", index)
        output = row.get("raw_output")
        found = {
            "key": f"{task}/{index}" if index else None,
            "subject": cells.subject(member(row, "extra_fields"), options.subject_from, dataset),
            "text": row.get("origin_query"),
            "answer": plain(row.get("ground_truth")) or None,
            "score": row["score"],
            "response": output if isinstance(output, str) else None,
            "prompt_tokens": row.get("prompt_tokens"),
            "completion_tokens": row.get("completion_tokens"),
            "cost": row.get("cost"),
        }
        return cells.result(line, found, options.benchmark or BENCHMARK, expert=model, task=task, file=file)

    records = document["records"]
    yield from converted(path, enumerate(records, 1), result, file)
    performance = document.get("performance")
    scored = sum(isinstance(record, dict) and record.get("score") is not None for record in records)
    if isinstance(performance, int | float) and not isinstance(performance, bool) and scored:
        yield TaskMean(model, task, float(performance), f"performance in {path.name}", n=scored)


LLMROUTERBENCH = LlmRouterBenchImporter()
