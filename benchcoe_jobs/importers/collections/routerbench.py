"""Wide tables: one row per question, one column or more per model.

`routerbench` reads three of them: RouterBench's table (withmartian/routerbench, written as CSV or Parquet: columns
MODEL, MODEL|model_response, MODEL|total_cost), SPROUT's Parquet (CARROT-LLM-Routing/SPROUT: a structure per model), and
RouteLLM's CSV (lm-sys/RouteLLM, evals/: the prompt, True or False per model, for GSM8K also MODEL_response).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from benchcoe_jobs.benchmarks.files import records
from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.cells import plain
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, FileError, Row, RowError, python_list, quoted
from benchcoe_jobs.importers.reading.rows import Numbered, every_row
from benchcoe_jobs.importers.source import Source

_RESPONSE, _COST = "|model_response", "|total_cost"
_ROUTELLM_RESPONSE = "_response"
_QUESTION = ("prompt", "sample_id", "key", "eval_name", "dataset", "subject", "category", "golden_answer")
_SUBJECT = ("eval_name", "dataset", "subject", "category")
_NOT_A_MODEL = {*_QUESTION, "dataset level", "dataset id", "oracle_model_to_route_to", "index", "id"}
_LONG = {"score", "label", "response", "expert", "model", "model_id", "model_name"}
"""Columns of tables with a row for each question and model."""


class RouterBenchImporter:
    """The format `routerbench`."""

    def recognise(self, source: Source) -> str | None:
        """By the columns, and by the cells of the first row if only these show which columns are models."""
        if "prompt" not in source.columns or _LONG & set(source.columns) or source.is_folder:
            return None
        if any(name.endswith((_RESPONSE, _COST)) for name in source.columns):
            return f"it has a prompt, and columns that end with {_RESPONSE} or {_COST}"
        try:
            first = next((row[1] for row in _rows(source) if isinstance(row, tuple)), {})
        except (InputError, MissingError):
            return None
        models = _models(first)
        nested = any(isinstance(first[name], dict) for name in models)
        if not nested and (len(models) < 2 or _others(first, models)):
            return None
        return f"it has a prompt, and scores in a column of each model ({_listed(models)})"

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The results in the order of rows, and in a row in the order of models.

        The key of a query is `sample_id` or `key`, or derived from the question. Columns that are neither of the
        question nor of a model are passed over with a Note.
        """
        options.require_only("routerbench", "scale", "subject_from")
        models: list[str] = []
        table = _WideTable(source, options)
        for row in _rows(source):
            if isinstance(row, SkippedRow):
                yield row
                continue
            if not models:
                models = _models(row[1])
                if not models:
                    raise InputError(f"{source}: no column has scores of a model")
                if others := _others(row[1], models):
                    yield Note(f"passed over, because they have no scores of a model: {_listed(others)}")
            yield from table.results(row, models)


class _WideTable:
    def __init__(self, source: Source, options: ReadOptions) -> None:
        self._path = source.path
        self._options = options
        self._set, self._task = _names(source)
        self._duplicates = DuplicateGuard()

    def results(self, numbered: Numbered, models: Iterable[str]) -> Iterator[Result | SkippedRow]:
        """The results of one row. A model without a score is skipped alone."""
        line, row = numbered
        try:
            query = self._query(row)
            self._duplicates.claim(line, f"question {quoted(query.key)}", query.key)
        except RowError as reason:
            yield SkippedRow(line, str(reason))
            return
        except FileError as reason:
            raise InputError(f"{self._path}: nothing was imported: row {line}: {reason}") from reason
        for model in models:
            try:
                yield self._result(line, row, query, model)
            except RowError as reason:
                yield SkippedRow(line, f"{quoted(model)}: {reason}")
            except FileError as reason:
                raise InputError(
                    f"{self._path}: nothing was imported: row {line}, column {quoted(model)}: {reason}"
                ) from reason

    def _query(self, row: Row) -> Query:
        named = next((row[name] for name in _SUBJECT if row.get(name) not in (None, "")), self._task)
        prompt = _unlisted(columns.text(row, "prompt"))
        if not prompt:
            raise RowError("prompt is empty")
        return cells.query(
            {
                "key": row.get("sample_id") or row.get("key"),
                "subject": cells.subject(row, self._options.subject_from, named),
                "text": prompt,
                "answer": plain(row.get("golden_answer")),
            }
        )

    def _result(self, line: int, row: Row, query: Query, model: str) -> Result:
        cell = row.get(model)
        if isinstance(cell, dict):
            found = {
                "score": cell.get("score"),
                "response": cell.get("response"),
                "prompt_tokens": cell.get("num_input_tokens"),
                "completion_tokens": cell.get("num_output_tokens"),
            }
        else:
            response = columns.text(row, f"{model}{_RESPONSE}") or columns.text(row, f"{model}{_ROUTELLM_RESPONSE}")
            found = {"score": cell, "response": _unlisted(response), "cost": row.get(f"{model}{_COST}")}
        benchmark = self._options.benchmark or self._set
        return cells.result(line, found, benchmark, of=query, expert=model, scale=self._options.scale)


def _rows(source: Source) -> Iterator[Numbered | SkippedRow]:
    """The rows of a file; those of Parquet may have structures, which a table of results has not."""
    if source.suffix == ".parquet" and source.path.suffix.lower() == ".parquet":
        return ((record.number, record.cells) for record in records(source.path))
    return every_row(source.path)


def _models(row: Row) -> list[str]:
    """The columns with scores: those with a response or cost beside them, else those of structures, else of scores."""
    beside = [name for name in row if f"{name}{_RESPONSE}" in row or f"{name}{_COST}" in row]
    if beside:
        return beside
    nested = [name for name, cell in row.items() if isinstance(cell, dict) and "score" in cell]
    return nested or [name for name, cell in row.items() if name not in _NOT_A_MODEL and _is_score(name, cell)]


def _is_score(name: str, cell: object) -> bool:
    if not name or name.startswith(("Unnamed: ", "__index_level_")):
        return False
    if isinstance(cell, str):
        try:
            return cell.strip().lower() in ("true", "false") or 0 <= float(cell) <= 1
        except ValueError:
            return False
    return isinstance(cell, bool) or (isinstance(cell, int | float) and 0 <= cell <= 1)


def _others(row: Row, models: list[str]) -> list[str]:
    """The columns that are neither of a model nor known columns of the question."""
    ends = (_RESPONSE, _COST, _ROUTELLM_RESPONSE)
    used = {*models, *_NOT_A_MODEL, *(f"{model}{end}" for model in models for end in ends)}
    return [name for name in row if name not in used and name.strip()]


def _names(source: Source) -> tuple[str, str]:
    """The benchmark and the subject that a file is about, if its rows do not tell."""
    stem = PurePosixPath(source.name).stem.removesuffix("_responses")
    if "golden_answer" in source.columns:
        return "sprout", "sprout"
    benchmark, _, task = stem.partition("_")
    return ("mmlu", task) if benchmark == "mmlu" and task else (stem, stem)


def _unlisted(text: str | None) -> str | None:
    """RouterBench writes the turns of a prompt or response as a list in Python syntax, "['...']"."""
    turns = python_list(text) if text else None
    if not turns or not all(isinstance(turn, str) for turn in turns):
        return text
    return columns.checked("a text", "\n".join(turns))


def _listed(names: Iterable[str]) -> str:
    listed = [quoted(name) for name in names]
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")


ROUTERBENCH = RouterBenchImporter()
