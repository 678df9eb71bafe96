"""Tasks of inspect_evals over benchmarks that the program has.

HellaSwag, WinoGrande and BIG-Bench Hard have other ids and texts there, so they are benchmarks of their own.
"""

from __future__ import annotations

from pathlib import Path

from benchcoe_jobs.benchmarks.files import Record
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.domain import Query, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.reading.columns import Row, RowError

_MMLU_PRO = {"mmlu_pro", "inspect_evals/mmlu_pro"}
_MMMU = {"mmmu_multiple_choice", "mmmu_open", "inspect_evals/mmmu_multiple_choice", "inspect_evals/mmmu_open"}


def known_result(task: str, sample: Row, result: Result) -> Result | None:
    """The result as one of a benchmark of the program; None for another task. Raises RowError.

    The responses are scored here. The images of MMMU in a log are smaller copies, so that no content hash is that of
    the benchmark: its queries are known by their keys, and the prompt must have the stored question.
    """
    to_score = result._replace(score=None, file_score=result.score, text=result.text or "")
    if task in _MMLU_PRO:
        return to_score._replace(benchmark=MmluPro.name, query=_mmlu_pro(sample))
    if task not in _MMMU:
        return None
    key = str(sample.get("id"))
    subject = key.partition("_")[2].rpartition("_")[0]
    if subject not in Mmmu.subjects:
        raise RowError(f"id {key[:40]!r} names no subject of MMMU")
    query = Query(key=key, subject=subject, text="")
    return to_score._replace(benchmark=Mmmu.name, query=query, prompt=result.query.text)


def _mmlu_pro(sample: Row) -> Query:
    metadata = sample.get("metadata")
    cells = {
        "question_id": sample.get("id"),
        "category": metadata.get("subject") if isinstance(metadata, dict) else None,
        "question": sample.get("input"),
        "options": sample.get("choices"),
        "answer": sample.get("target"),
    }
    try:
        return MmluPro().query(Record(Path(), 1, cells))
    except InputError as error:
        raise RowError(str(error).removeprefix(f"{Path()}: row 1: ")) from error
