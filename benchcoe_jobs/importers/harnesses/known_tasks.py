"""Tasks of harnesses over benchmarks that the program has: their rows are queries of these benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.benchmarks.files import Record, SourceFile
from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.benchmarks.winogrande import WinoGrande
from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading.columns import Row, RowError

_BBH = ("leaderboard_bbh_", "bbh_cot_fewshot_", "bbh_cot_zeroshot_", "bbh_fewshot_", "bbh_zeroshot_")
_MMLU_PRO = {"mmlu_pro", "leaderboard_mmlu_pro", *(f"mmlu_pro_{name.replace(' ', '_')}" for name in MmluPro.subjects)}


class BenchmarkTask(NamedTuple):
    """A benchmark of the program, and the task of it that a row belongs to."""

    benchmark: str
    task: str

    def query(self, doc: Row, place: int) -> Query:
        """The query of a row of the data set, at a place from 0. Raises RowError."""
        record = Record(Path(), place + 1, doc)
        try:
            if self.benchmark == "mmlu-pro":
                return MmluPro().query(record)
            if self.benchmark == "hellaswag":
                return HellaSwag().query(record, None)
            if self.benchmark == "winogrande":
                return WinoGrande().query(record, SourceFile(Path(), Split.VALIDATION, None))
            return BigBenchHard().query(record, self.task, place)
        except InputError as error:
            raise RowError(str(error).removeprefix(f"{Path()}: row {place + 1}: ")) from error


def known_task(task: str) -> BenchmarkTask | None:
    """The benchmark that a task of lm-eval asks; None if the program does not have it."""
    if task in ("hellaswag", "winogrande"):
        return BenchmarkTask(task, task)
    if task in _MMLU_PRO:  # not mmlu_pro_plus_..., which are other questions
        return BenchmarkTask("mmlu-pro", task)
    for start in _BBH:
        if task.startswith(start) and task.removeprefix(start) in BigBenchHard.subjects:
            return BenchmarkTask("bbh", task.removeprefix(start))
    return None
