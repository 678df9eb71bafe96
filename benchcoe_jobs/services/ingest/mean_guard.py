"""Hold the rows of a file against the means that the file states: the guard against a format that was misread."""

from __future__ import annotations

from collections import defaultdict

from benchcoe_jobs.domain import Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import TaskMean

_Task = tuple[str | None, str]


class MeanGuard:
    """Sums the scores of each task of an expert, and compares their means with those that the file states."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._sums: dict[_Task, float] = defaultdict(float)
        self._counts: dict[_Task, int] = defaultdict(int)
        self._stated: list[TaskMean] = []
        self._n_skipped = 0

    def add(self, row: Result) -> None:
        """Add a row, as the file names its expert."""
        score = row.score if row.file_score is None else row.file_score
        if row.task is not None and score is not None:
            task = row.expert, row.task
            self._sums[task] += score
            self._counts[task] += 1

    def add_skipped(self) -> None:
        """Add a row that could not be read."""
        self._n_skipped += 1

    def add_mean(self, mean: TaskMean) -> None:
        """Add a mean that the file states."""
        self._stated.append(mean)

    def check(self) -> list[str]:
        """Compare all means at the end of a file. Returns remarks.

        If rows are missing, because they could not be read or because the file is a part, the mean must be possible:
        the missing rows have scores from 0 to 1. Raises InputError for a mean that differs.
        """
        notes = []
        for mean in self._stated:
            task = mean.expert, mean.task
            count, total = self._counts[task], self._sums[task]
            if count:
                missing = self._n_skipped if mean.n is None else mean.n - count
                self._compare(mean, count, total, missing)
                if mean.n is not None and missing > self._n_skipped:
                    notes.append(
                        f"{mean.task}: {count:,} of {mean.n:,} rows are there, with a mean of {total / count:.4g}; "
                        f"{mean.stated} has {mean.value:.4g} for all"
                    )
        return notes

    def _compare(self, mean: TaskMean, count: int, total: float, missing: int) -> None:
        if missing < 0:
            raise InputError(
                f"{self._file}: nothing was imported: {count:,} rows of {mean.task} were read, but {mean.stated} is "
                f"over {mean.n:,}: the file may hold two runs"
            )
        low, high = total / (count + missing), (total + missing) / (count + missing)
        if not low - mean.tolerance <= mean.value <= high + mean.tolerance:
            found = f"{total / count:.4f} over {count:,}"
            raise InputError(
                f"{self._file}: nothing was imported: the scores of {mean.task} have a mean of {found} "
                f"rows, but {mean.stated} is {mean.value:.4f}: the file is damaged or of another version of its format"
            )
