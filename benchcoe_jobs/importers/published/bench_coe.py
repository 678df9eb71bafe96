"""The results that the scripts of Bench-CoE write for HellaSwag and WinoGrande: a JSON list with generated answers.

A file is about one expert, which it does not name. HellaSwag's queries are known by their keys: the loader prepares the
context from parts of it that the file does not have. WinoGrande's are those of the loader.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.benchmarks.generative import HellaSwagGenerative, WinoGrandeGenerative
from benchcoe_jobs.benchmarks.hellaswag import cleaned
from benchcoe_jobs.domain import Query, Result
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError, quoted
from benchcoe_jobs.importers.reading.json_rows import json_rows
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

FORM = "bench-coe"

_ROW = {"id", "input_sentence", "options", "target_answer", "category", "model_output"}
_N_OPTIONS = 2
"""Of WinoGrande."""

_SPLIT = "val"
"""The split in the keys of HellaSwag: the script reads the validation set."""


class BenchCoeImporter:
    """The format `bench-coe`: one file."""

    def recognise(self, source: Source) -> str | None:
        """By the keys of the first row."""
        first = None if source.is_folder else source.first_record
        is_known = isinstance(first, dict) and first.keys() >= _ROW
        return "its first row has input_sentence, target_answer and model_output" if is_known else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The responses, to be scored. Rows with four options are HellaSwag's, those with two WinoGrande's."""
        options.require_only(FORM)
        duplicates = DuplicateGuard()

        def result(line: int, row: Row) -> Result:
            key = columns.required(row, "id")
            choices = columns.texts("options", row.get("options"))
            duplicates.claim(line, f"question {key}", key)
            output = row.get("model_output")
            if not isinstance(output, str):
                raise RowError(f"model_output {quoted(output)} is not text")
            if len(choices) == _N_OPTIONS:
                name, query = WinoGrandeGenerative.name, _winogrande(row, key, choices)
            else:
                name, query = HellaSwagGenerative.name, _hellaswag(row, key, choices)
            claimed = row.get("prediction")
            return Result(
                line=line,
                benchmark=options.benchmark or name,
                query=query,
                text=output,
                claimed=claimed if isinstance(claimed, str) and claimed else None,
            )

        yield from converted(source.path, json_rows(source.path), result)


def _winogrande(row: Row, key: str, choices: tuple[str, ...]) -> Query:
    answer = columns.required(row, "target_answer")
    text = columns.text(row, "input_sentence")
    if text is None:
        raise RowError("input_sentence is empty")
    if answer not in ("1", "2"):
        raise RowError(f"target_answer {quoted(answer)} is not 1 or 2")
    return Query(key=key, subject=WinoGrandeGenerative.subjects[0], text=text, choices=choices, answer=answer)


def _hellaswag(row: Row, key: str, choices: tuple[str, ...]) -> Query:
    target = columns.required(row, "target_answer")
    if not target.isdecimal() or int(target) >= min(len(choices), len(LETTERS)):
        raise RowError(f"target_answer {quoted(target)} is not the place of an option")
    return Query(
        key=f"{_SPLIT}-{key}",
        subject=columns.required(row, "category"),
        text="",
        choices=tuple(cleaned(choice) for choice in choices),
        answer=LETTERS[int(target)],
    )


BENCH_COE = BenchCoeImporter()
