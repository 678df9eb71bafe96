"""Tables of log-likelihoods of HellaSwag's endings: a column for each of the four, such as ll_0, ll_1, ll_2 and ll_3.

Such a table does not tell whether its values are sums over an ending or means per token: --metric does. Without a
column of keys its rows are in the order of a file of the benchmark, which accompanies it, such as hellaswag_val.jsonl.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.benchmarks.likelihood import best
from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.base import UNKNOWN_SUBJECT, Item, ReadOptions
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError, name, number
from benchcoe_jobs.importers.reading.rows import converted, read_rows
from benchcoe_jobs.importers.source import Source

_VALUE = re.compile(r"(nll|ll|loss|log_?likelihood|log_?prob)_?([0-3])")
_NEGATIVE = ("nll", "loss")
_KEYS = ("key", "ind")
_N = 4
_METRICS = ("acc_norm", "acc")
_MAX_ROWS = 1_000_000
_NEED = "ctx_a"
"""A column of the files of the benchmark, which tables of results do not have."""


class HellaSwagImporter:
    """The format `hellaswag`. It is accompanied by a file of the benchmark."""

    def recognise(self, source: Source) -> str | None:
        """By four columns that are numbered from 0 to 3 and called after log-likelihoods."""
        found = _columns(source.columns)
        return f"it has the columns {', '.join(found)}" if found else None

    def accompanies(self, source: Source) -> bool:
        """Whether a file has the questions of the benchmark."""
        return {_NEED, "endings", "label"} <= set(source.columns)

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The results. With --metric acc_norm the values are sums, which the scorer of the benchmark divides by the
        lengths of the endings; with --metric acc the highest value is the answer, and the score is imported.

        Raises InputError if the values are neither all log-likelihoods nor all of the opposite sign, if there is no
        metric, and if the rows have neither keys nor the order of a file of the benchmark.
        """
        options.require_only("hellaswag", "metric")
        values = _columns(source.columns)
        if len(values) != _N:
            raise InputError(f"{source}: it does not have four columns of log-likelihoods, such as ll_0 to ll_3")
        if options.metric is None:
            raise InputError(
                f"{source}: it does not tell what its log-likelihoods are: give --metric acc_norm if they are sums "
                "over an ending, or --metric acc to compare them as they are"
            )
        if options.metric not in _METRICS:
            raise UsageError(f"--metric {options.metric}: the format hellaswag has {' and '.join(_METRICS)}")
        questions = next((path for path in options.companions if self.accompanies(Source(path))), None)
        yield from _results(source.path, values, options, None if questions is None else _Questions(questions))


HELLASWAG = HellaSwagImporter()


def _columns(names: Sequence[str]) -> list[str]:
    """The four columns in their order; empty if there are not four of one name."""
    found = {name: match for name in names if (match := _VALUE.fullmatch(name))}
    if len({match[1] for match in found.values()}) != 1 or len(found) != _N:
        return []
    return sorted(found, key=lambda name: found[name][2])


class _Questions:
    """The questions of a file of the benchmark, by key, by the number in it, and in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listed = list(HellaSwag().load(path))
        self._by_key = {query.key: query for query in self.listed}
        self._by_key |= {query.key.rpartition("-")[2]: query for query in self.listed}

    def of(self, key: str) -> Query:
        if key not in self._by_key:
            raise RowError(f"{self.path.name} has no question {key!r}")
        return self._by_key[key]


class _Line(NamedTuple):
    number: int
    key: str | None
    model: str | None
    label: str | None
    values: tuple[float, ...]


def _results(path: Path, values: Sequence[str], options: ReadOptions, questions: _Questions | None) -> Iterator[Item]:
    lines: list[_Line] = []
    for item in converted(path, read_rows(path, [*_KEYS, "label", "expert", *values], [(values[0],)]), _line(values)):
        if not isinstance(item, _Line):
            yield item
            continue
        lines.append(item)
        if len(lines) > _MAX_ROWS:
            raise InputError(f"{path}: more than {_MAX_ROWS:,} rows")
    sign = _sign(path, values, lines)
    has_keys = any(line.key is not None for line in lines)
    if not has_keys and (questions is None or len(questions.listed) != len(lines)):
        other = "" if questions is None else f"; {questions.path.name} has {len(questions.listed):,}"
        raise InputError(
            f"{path}: its {len(lines):,} rows have no key: name the file of the benchmark whose order they have, such "
            f"as hellaswag_val.jsonl{other}"
        )
    duplicates = DuplicateGuard()
    for place, line in enumerate(lines):
        try:
            query = _query(line, place, questions)
            duplicates.claim(line.number, f"query {query.key!r}", line.model, query.key)
            likelihoods = [sign * value for value in line.values]
            yield _result(line, query, likelihoods, options)
        except RowError as reason:
            yield SkippedRow(line.number, str(reason))


def _line(values: Sequence[str]) -> Callable[[int, Row], _Line]:
    def line(number_: int, row: Row) -> _Line:
        key = name(row, "key") or name(row, "ind")
        return _Line(number_, key, name(row, "expert"), name(row, "label"), tuple(number(row, one) for one in values))

    return line


def _sign(path: Path, values: Sequence[str], lines: Sequence[_Line]) -> int:
    """1 for log-likelihoods, -1 for their opposites. A file has one of both."""
    lowest = min((value for line in lines for value in line.values), default=0.0)
    highest = max((value for line in lines for value in line.values), default=0.0)
    if highest <= 0:
        return 1
    if lowest >= 0 and values[0].startswith(_NEGATIVE):
        return -1
    raise InputError(
        f"{path}: its values from {lowest:g} to {highest:g} are not log-likelihoods, which are not positive"
    )


def _query(line: _Line, place: int, questions: _Questions | None) -> Query:
    if line.key is None:
        if questions is None:
            raise RowError("key is empty")
        return questions.listed[place]
    return Query(line.key, UNKNOWN_SUBJECT, "") if questions is None else questions.of(line.key)


def _result(line: _Line, query: Query, likelihoods: Sequence[float], options: ReadOptions) -> Result:
    benchmark = options.benchmark or HellaSwag.name
    if options.metric == "acc_norm":
        return Result(line.number, benchmark, query, line.model, text=json.dumps(likelihoods))
    answer = query.answer
    if line.label is not None:
        if line.label not in ("0", "1", "2", "3") or (answer is not None and answer != LETTERS[int(line.label)]):
            raise RowError(f"label {line.label!r} is not that of the question")
        answer = LETTERS[int(line.label)]
    if answer is None:
        raise RowError("its correct ending is not known: a column label or a file of the benchmark tells it")
    index = best(likelihoods)
    return Result(
        line.number, benchmark, query, line.model, score=float(index is not None and LETTERS[index] == answer)
    )
