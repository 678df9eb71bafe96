"""The protocol of importers: readers of result files, one module for each format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from benchcoe_jobs.domain import Note, Result, Scale, SkippedRow
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.importers.source import Source

if TYPE_CHECKING:
    from benchcoe_jobs.arrays import Floats

UNKNOWN_SUBJECT = ""
"""The subject of a query that a file names by its key alone: that of the stored query with this key."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the command says about a file; None where it says nothing.

    `benchmark` names the benchmark if the file does not, or in place of the name that the format gives. `scale` is that
    of all scores. `metric`, `filter` and `subject_from` choose between the metrics, filters and fields of a file.
    `columns` maps columns of the store to the columns of a table that hold them. `companions` are files that the
    command names and that an importer said to accompany its results.
    """

    benchmark: str | None = None
    scale: Scale | None = None
    metric: str | None = None
    filter: str | None = None
    subject_from: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    companions: tuple[Path, ...] = ()

    def require_only(self, form: str, *allowed: str) -> None:
        """Raises UsageError if an option is set that the format does not have; all of them have `benchmark`."""
        for name, option in _OPTIONS.items():
            if name not in allowed and getattr(self, name):
                raise UsageError(f"{option} is not for files of the format {form}: leave it out")

    def choices(self) -> dict[str, Any]:
        """What decides the score of a row, for the provenance of the run; empty if the command chooses nothing."""
        chosen = {name: value for name in ("metric", "filter") if (value := getattr(self, name))}
        if self.scale not in (None, Scale.FRACTION):
            chosen["scale"] = self.scale.value
        return chosen | ({"columns": dict(self.columns)} if self.columns else {})


_OPTIONS = {
    "scale": "--scale",
    "metric": "--metric",
    "filter": "--filter",
    "subject_from": "--subject-from",
    "columns": "--map",
}


class TaskMean(NamedTuple):
    """A mean that the file itself states: the guard against a format that was misread.

    It is compared with the mean of `Result.file_score`, or of `Result.score` if that is None, over the results of
    `expert` whose `task` it names, after the last row. `value` is in [0, 1], rounded by the file to within `tolerance`.
    `stated` says where it stands, for the message: "results_2026.json, toy_metals, acc". `n` is the number of rows that
    the mean is over, if the file states it: a file with fewer rows is a part, whose mean may be another.
    """

    expert: str | None
    task: str
    value: float
    stated: str
    tolerance: float = 1e-4
    n: int | None = None


Item = Result | SkippedRow | Note | TaskMean


class Importer(Protocol):
    """Recognises and reads one format. A plug-in of the group "importers" is an object like this."""

    def recognise(self, source: Source) -> str | None:
        """Why a file or folder has this format, as the end of "taken for lm-eval because ..."; None if it has not.

        It looks at names and at the first record only, and does not raise InputError for a file of another format. A
        folder is recognised if its files belong together; the files of any other folder are looked at one by one.
        """
        ...

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The results in file order, a SkippedRow for each row that cannot be used, and the means that the file states.

        Raises InputError if the file as a whole cannot be used, and UsageError for an option that the format does not
        have. Rows are yielded as they are read; the whole of a large file is not kept in memory.
        """
        ...


@runtime_checkable
class AccompaniedImporter(Importer, Protocol):
    """An importer of results that are spread over files which are not results, such as the input of a batch."""

    def accompanies(self, source: Source) -> bool:
        """Whether a file, which no importer recognises, belongs to results of this format in another file.

        If the command names it beside such results, `read` gets it in `ReadOptions.companions`.
        """
        ...


class NotPlainError(Exception):
    """A file cannot be imported in columns; the row path says why, if anything is wrong with it."""


@dataclass(frozen=True, slots=True)
class ScoreColumns:
    """The results of a table.

    `rows` has the first row of each query (benchmark and key), in file order. `experts` are the names in the file, in
    the order in which they occur first; None if it names no expert. `values` has the shape (queries, experts); it is
    NaN where there is no row. `n` is the number of rows.
    """

    rows: list[Result]
    experts: list[str | None]
    values: Floats
    n: int
    notes: list[Note]


@runtime_checkable
class ColumnImporter(Importer, Protocol):
    """An importer that reads a large plain file in columns, several times faster than its rows."""

    def columns(self, source: Source, options: ReadOptions) -> ScoreColumns | None:
        """What `read` yields, in columns; None if `read` would skip or refuse a row, or yield anything but scores.

        Raises UsageError for an option that the format does not have.
        """
        ...
