"""The tables of VLMEvalKit: MODEL_DATASET.xlsx (or .tsv, .json) with answers, and MODEL_DATASET_SCORER_result.xlsx.

Only the second has scores (`hit` or `score`). The answers of the first are scored here for MMMU and MMStar. Their
questions have images, which the tables lack, so queries are named by their keys, `id` of MMMU and `index` of MMStar,
and a row must have the stored question. MODEL_DATASET_acc.csv states the accuracy of each split.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.domain import Note, Query, Result, Scale
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError, python_list
from benchcoe_jobs.importers.reading.rows import converted, every_row
from benchcoe_jobs.importers.source import Source

_SUFFIXES = (".xlsx", ".tsv", ".json")
_COLUMNS = {"index", "question", "prediction"}
_RESULT = re.compile(r"(.+?)_(?:(?:exact_matching|[^_]+)_result|auxmatch)$")
_ACCURACY = re.compile(r"(.+)_(acc|score)\.(csv|json|xlsx)$")
_OTHER_FILES = (".pkl", ".csv", ".txt", ".png")
_MMMU_ID = re.compile(r"validation_(.+)_\d+")
_KNOWN = {"MMMU_DEV_VAL": "mmmu", "MMStar": "mmstar"}
_DATASETS = re.compile(r"(MMMU_(?:DEV_VAL|TEST)|MMStar|(?:MMBench|CCBench|SEEDBench|ScienceQA|AI2D|AesBench)\w*)$")
"""Data sets of VLMEvalKit that have an underscore or are common; a model may have underscores as well."""


class _File(NamedTuple):
    """A file of answers: the model and the data set in its name (None if it does not tell), whether it has scores."""

    path: Path
    base: str
    model: str | None
    dataset: str | None
    has_scores: bool


class VlmEvalKitImporter:
    """The format `vlmevalkit`: a file, or a folder with the files of one model."""

    def recognise(self, source: Source) -> str | None:
        """By the columns of the table. A folder must have such tables and their summaries only."""
        if not source.is_folder:
            return "it has the columns index, question and prediction" if _is_answers(source) else None
        tables = [child for child in source.children if not _is_other(child)]
        if tables and all(map(_is_answers, tables)):
            return "its tables have the columns index, question and prediction"
        return None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The answers of each data set: those of the table with scores, if there are two."""
        options.require_only("vlmevalkit", "metric", "scale", "subject_from")
        paths = [child.path for child in source.children if not _is_other(child)] if source.is_folder else [source.path]
        chosen: dict[str, _File] = {}
        for file in sorted(map(_named, paths), key=lambda file: file.has_scores):
            if file.base in chosen:
                yield Note(f"{chosen[file.base].path.name}: passed over, because {file.path.name} has its answers too")
            chosen[file.base] = file
        for file in chosen.values():
            yield from _Answers(file, options, file.path.name if source.is_folder else None).items()


class _Answers:
    def __init__(self, file: _File, options: ReadOptions, shown: str | None) -> None:
        self._file = file
        self._options = options
        self._shown = shown
        dataset = file.dataset or options.benchmark
        if dataset is None:
            raise InputError(
                f"{file.path}: its name does not tell where the model ends and the data set begins: --benchmark names "
                "the data set, or put the file into a folder that is called like the model"
            )
        self._dataset = dataset
        self._benchmark = options.benchmark or _KNOWN.get(dataset, dataset)
        self._is_known = self._benchmark in _KNOWN.values()
        self._score: str | None = None
        self._duplicates = DuplicateGuard()

    def items(self) -> Iterator[Item]:
        rows = list(every_row(self._file.path))
        first = next((row[1] for row in rows if isinstance(row, tuple)), {})
        self._score = self._score_column(first)
        yield from converted(self._file.path, iter(rows), self._result, self._shown)
        if self._score == "hit":
            yield from self._means()

    def _score_column(self, first: Row) -> str | None:
        names = [name for name in (self._options.metric or "hit", "score") if name in first]
        if not names and not (self._is_known and self._options.metric is None):
            wanted = self._options.metric or "hit or score"
            raise InputError(
                f"{self._file.path}: no column {wanted}: it has answers without scores; VLMEvalKit writes them to a "
                "file that ends with _result.xlsx"
            )
        return names[0] if names else None

    def _result(self, line: int, row: Row) -> Result:
        lowered = {name if len(name) == 1 else name.lower(): value for name, value in row.items()}
        lowered = {name: None if _is_nan(value) else value for name, value in lowered.items()}
        query = self._query(lowered)
        self._duplicates.claim(line, f"question {query.key!r}", query.key)
        prediction = cells.plain(lowered.get("prediction"))
        score = None
        if self._score is not None:
            score = columns.score({"score": row.get(self._score)}, self._options.scale or Scale.FRACTION)
        return Result(
            line=line,
            benchmark=self._benchmark,
            query=query,
            expert=self._file.model,
            text=columns.text({"prediction": prediction}, "prediction") or "",
            score=None if self._is_known else score,
            task=f"{self._dataset}, split {_split(lowered)}",
            file_score=score if self._is_known else None,
            file=self._shown,
            prompt=columns.text(lowered, "question") if self._is_known else None,
        )

    def _query(self, row: Row) -> Query:
        choices = {letter: cells.plain(row[letter]) for letter in LETTERS if row.get(letter) is not None}
        answer = cells.plain(row.get("answer"))
        if self._benchmark == "mmmu":
            return _mmmu(row, choices, answer)
        given = {
            "key": cells.plain(row.get("index")),
            "subject": cells.subject(row, self._options.subject_from, row.get("category") or self._dataset),
            "answer": answer,
        }
        if self._benchmark == "mmstar":
            return cells.query(given)
        hint = columns.text(row, "hint")
        question = columns.text(row, "question")
        text = "\n".join(part for part in (hint, question) if part)
        return cells.query({**given, "text": text, "choices": list(choices.values())})

    def _means(self) -> Iterator[TaskMean]:
        """The accuracy of each split, which VLMEvalKit writes beside the table."""
        path = self._file.path.with_name(f"{self._file.base}_acc.csv")
        if not path.is_file():
            return
        rows = [row[1] for row in every_row(path) if isinstance(row, tuple)]
        try:
            means = {str(row.get("split")): columns.score({"score": row.get("Overall")}) for row in rows}
        except ValueError as error:
            raise InputError(f"{path}: its column Overall is no accuracy: {error}") from error
        for split, mean in means.items():
            yield TaskMean(self._file.model, f"{self._dataset}, split {split}", mean, f"Overall in {path.name}")


def _mmmu(row: Row, choices: dict[str, str | None], answer: str | None) -> Query:
    """A validation question of MMMU. VLMEvalKit gives open questions two options when it scores them."""
    key = columns.required(row, "id")
    found = _MMMU_ID.fullmatch(key)
    if found is None:
        raise RowError(f"{columns.quoted(key)} is not a question of the validation set")
    if answer is not None and answer not in choices:
        choices = {}
    several = python_list(answer) if answer else None
    return cells.query(
        {
            "key": key,
            "subject": found[1],
            "choices": list(choices.values()),
            "answer": json.dumps(several, ensure_ascii=False) if several else answer,
        }
    )


def _split(row: Row) -> str:
    return str(row.get("split") or "none")


def _is_nan(value: Any) -> bool:
    return value == "" or (isinstance(value, float) and value != value)


def _is_other(source: Source) -> bool:
    """Whether a file in the folder of a model has no answers: accuracies, and what the scoring left."""
    name = source.path.name
    return not source.is_folder and bool(_ACCURACY.match(name) or name.endswith(_OTHER_FILES))


def _is_answers(source: Source) -> bool:
    return source.suffix in _SUFFIXES and {name.lower() for name in source.columns} >= _COLUMNS


def _named(path: Path) -> _File:
    """What the name of a file tells. The folder of the model, or a known data set, shows where the model ends."""
    found = _RESULT.fullmatch(path.stem)
    base = found[1] if found else path.stem
    for folder in path.absolute().parents[:2]:
        if folder.name and base.startswith(f"{folder.name}_"):
            return _File(path, base, folder.name, base.removeprefix(f"{folder.name}_"), found is not None)
    if (known := _DATASETS.search(base)) and base[: known.start()].endswith("_"):
        return _File(path, base, base[: known.start() - 1], known[1], found is not None)
    model, _, dataset = base.partition("_")
    is_clear = bool(model) and bool(dataset) and "_" not in dataset
    return _File(path, base, model if is_clear else None, dataset if is_clear else None, found is not None)


VLMEVALKIT = VlmEvalKitImporter()
