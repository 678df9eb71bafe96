"""The outputs that MMMU publishes: output.json in a folder for each subject, or one file of all answers.

github.com/MMMU-Benchmark/MMMU, mmmu/example_outputs/. Its evaluation adds parsed_output.json, with a score of each
answer, and result.json, with the accuracy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.published.llava_answers import is_answers, read_answers
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, RowError, checked, quoted, required, text, texts
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.source import Source

_ID = re.compile(r"validation_(.+)_\d+")
_OUTPUT = "output.json"
_PARSED = "parsed_output.json"
_RESULT = "result.json"
_SCORES = {"Correct": 1.0, "Wrong": 0.0}


class MmmuImporter:
    """The format `mmmu`. A folder with a folder for each subject is one import, whose expert has its name."""

    def recognise(self, source: Source) -> str | None:
        """By ids such as validation_Art_1 with responses; of a folder, by its folders."""
        if source.is_folder:
            return "it has folders named after subjects of MMMU, with output.json" if _subjects(source.path) else None
        if is_answers(source, _ID):
            return "its question_ids are those of MMMU"
        record = source.first_record
        if not isinstance(record, dict) or not record:
            return None
        if {"id", "question_type", "response"} <= record.keys() and _ID.fullmatch(str(record["id"])):
            return "it has responses to ids of MMMU"
        answers = all(_ID.fullmatch(key) and isinstance(value, str) for key, value in record.items())
        return "it has an answer under each id of MMMU" if answers else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The responses, to be scored; queries that only their ids are known of are scored against the stored ones.

        Raises InputError for a damaged file.
        """
        options.require_only("mmmu")
        benchmark = options.benchmark or Mmmu.name
        if not source.is_folder:
            if is_answers(source, _ID):
                yield from read_answers(source.path, benchmark, _subject)
            else:
                yield from _file(source.path, benchmark, None, source.path.parent.name)
            return
        expert = source.path.resolve().name
        for subject in _subjects(source.path):
            folder = source.path / subject
            parsed = folder / _PARSED
            yield from _file(parsed if parsed.is_file() else folder / _OUTPUT, benchmark, expert, subject)
        if others := [child.path.name for child in source.children if child.path.suffix == ".json"]:
            yield Note(f"{', '.join(others)} is not read: the responses are in {_OUTPUT} of each subject")


MMMU = MmmuImporter()


def _subjects(folder: Path) -> list[str]:
    return [subject for subject in Mmmu.subjects if (folder / subject / _OUTPUT).is_file()]


def _file(path: Path, benchmark: str, expert: str | None, folder: str) -> Iterator[Item]:
    document = read_document(path)
    if isinstance(document, dict):
        rows = [{"id": key, "response": value} for key, value in document.items()]
    elif isinstance(document, list):
        rows = document
    else:
        raise InputError(f"{path}: neither a list of responses nor answers by id")
    name = f"{folder}/{path.name}"
    duplicates = DuplicateGuard()
    scored = False
    for line, row in enumerate(rows, 1):
        try:
            if not isinstance(row, dict):
                raise RowError("not a JSON object")
            query = _query(row)
            duplicates.claim(line, f"query {query.key!r}", query.key)
            file_score = _SCORES.get(str(row.get("judge")))
            scored = scored or file_score is not None
            yield Result(
                line=line,
                benchmark=benchmark,
                query=query,
                expert=expert,
                text=text(row, "response") or "",
                claimed=_claimed(row),
                task=folder,
                file_score=file_score,
                file=name,
            )
        except RowError as reason:
            yield SkippedRow(line, str(reason), name)
    if scored and (path.parent / _RESULT).is_file():
        yield _published(path.parent / _RESULT, expert, folder)


def _query(row: Mapping[str, Any]) -> Query:
    key = required(row, "id")
    subject = _subject(key)
    if "answer" not in row:
        return Query(key, subject, "")
    if row.get("question_type") == "multiple-choice":
        options = row.get("index2ans")
        if not isinstance(options, dict) or not options or list(options) != list(LETTERS[: len(options)]):
            raise RowError(f"index2ans {quoted(options)} does not have the options by letter")
        choices = texts("index2ans", list(options.values()))
        answer = required(row, "answer")
        if answer not in options:
            raise RowError(f"answer {quoted(answer)} is not the letter of an option")
        return Query(key, subject, "", choices, answer)
    answer_or_several = row["answer"]
    if isinstance(answer_or_several, list) and len(answer_or_several) > 1:
        several = json.dumps(texts("answer", answer_or_several), ensure_ascii=False)
        return Query(key, subject, "", (), several)
    one = answer_or_several[0] if isinstance(answer_or_several, list) and answer_or_several else answer_or_several
    return Query(key, subject, "", (), required({"answer": one}, "answer"))


def _subject(key: str) -> str:
    match = _ID.fullmatch(key)
    if match is None or match[1] not in Mmmu.subjects:
        raise RowError(f"id {quoted(key)} names no subject; an example of an id is validation_Math_1")
    return match[1]


def _claimed(row: Mapping[str, Any]) -> str | None:
    parsed = row.get("parsed_pred")
    return checked("parsed_pred", parsed) if isinstance(parsed, str) else None


def _published(path: Path, expert: str | None, folder: str) -> TaskMean:
    document = read_document(path)
    accuracy = document.get("acc") if isinstance(document, dict) else None
    count = document.get("num_example") if isinstance(document, dict) else None
    if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:
        raise InputError(f"{path}: it has no acc from 0 to 1")
    n = count if isinstance(count, int) and count > 0 else None
    return TaskMean(expert, folder, float(accuracy), f"acc in {folder}/{_RESULT}", n=n)
