"""Answer files of LLaVA and of scripts made after it: JSON Lines with question_id, prompt, text and model_id.

They hold neither subjects nor correct answers: the queries must be stored, and their prompts must have the questions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from benchcoe_jobs.domain import Note, Query, Result, SkippedRow
from benchcoe_jobs.importers.base import UNKNOWN_SUBJECT
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, name, required, text
from benchcoe_jobs.importers.reading.rows import converted, read_rows
from benchcoe_jobs.importers.source import Source

_COLUMNS = ("question_id", "prompt", "text", "answer_id", "model_id", "metadata")


def is_answers(source: Source, key: re.Pattern[str], prompt: re.Pattern[str] | None = None) -> bool:
    """Whether a file is such a file, with ids of this form, and with prompts of this form if one is given."""
    record = source.first_record
    if source.is_folder or not isinstance(record, dict) or not {"question_id", "prompt", "text"} <= record.keys():
        return False
    matches = key.fullmatch(str(record["question_id"])) is not None
    return matches and (prompt is None or prompt.search(str(record["prompt"])) is not None)


def read_answers(
    path: Path, benchmark: str, subject: Callable[[str], str] = lambda key: UNKNOWN_SUBJECT
) -> Iterator[Result | SkippedRow | Note]:
    """The responses, to be scored against the stored queries, in file order.

    `subject` tells the subject of a key, and may raise RowError; the empty subject is that of the stored query. Raises
    InputError as `rows.read_rows` does.
    """
    duplicates = DuplicateGuard()

    def result(line: int, row: Row) -> Result:
        key = required(row, "question_id")
        model = name(row, "model_id")
        duplicates.claim(line, f"question {key!r}", model, key)
        return Result(
            line=line,
            benchmark=benchmark,
            query=Query(key, subject(key), ""),
            expert=model,
            text=text(row, "text") or "",
            prompt=text(row, "prompt"),
        )

    return converted(path, read_rows(path, _COLUMNS, [("question_id",), ("text",)]), result)
