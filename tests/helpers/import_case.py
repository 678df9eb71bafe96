"""A sample of a format, with what is right about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from needs import SHARED_DATA, skip_or_fail

from benchcoe_jobs.domain import Query, Result
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.session import Store

Means = dict[tuple[str | None, str], tuple[int, float]]


@dataclass(frozen=True)
class Case:
    """A sample and what is right about it.

    `repeats` are rows that the store does not take, because an earlier row has the same question. `refused` maps the
    message with which a file is refused to what makes a copy of the sample such a file. A format that states means
    needs one with "mean of" in the message: rows that no longer have the mean. `stored` are the queries of benchmarks
    that must be in the store, for a format whose rows name them by their keys alone.
    """

    form: str
    sample: str | Callable[[Path], Path]
    means: Means
    options: ReadOptions = field(default_factory=ReadOptions)
    repeats: int = 0
    refused: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    stored: Mapping[str, Sequence[Query]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name of the case: the format, and the end of the path of the sample."""
        return f"{self.form}-{self.sample[-24:] if isinstance(self.sample, str) else self.sample.__name__}"

    def stored_query(self, row: Result) -> Query:
        """The query of a row, or the stored one of which the row has only the key."""
        stored = self.stored.get(row.benchmark, ())
        return next((query for query in stored if query.key == row.query.key), row.query)

    def store_queries(self, store: Store) -> None:
        """Add the queries that the rows refer to."""
        with store.writing() as connection:
            for benchmark, queries in self.stored.items():
                catalog.add_queries(connection, catalog.ensure_benchmark(connection, benchmark), queries)

    def copy_to(self, folder: Path) -> Path:
        """The path of a copy of the sample in a new folder. Skips the test if there is no sample."""
        folder.mkdir()
        if not isinstance(self.sample, str):
            return self.sample(folder)
        sample = SHARED_DATA / "formats" / self.sample
        if not sample.exists():
            skip_or_fail(f"there is no {sample}")
        return copied(sample, folder / sample.name)


def copied(source: Path, copy: Path) -> Path:
    """Copy a file or folder without its permissions: shared data may be read-only, and tests change their copies."""
    if source.is_dir():
        copy.mkdir()
        for path in source.iterdir():
            copied(path, copy / path.name)
    else:
        shutil.copyfile(source, copy)
    return copy
