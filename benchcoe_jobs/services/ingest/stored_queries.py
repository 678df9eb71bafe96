"""The stored queries of rows that a file names by key alone, so that their responses can be scored."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection

from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.services.ingest.known_questions import normalised
from benchcoe_jobs.services.ingest.query_matching import Match
from benchcoe_jobs.store.results import catalog

_AT_ONCE = 1_000
_IMAGE = re.compile(r"<image(?: ?\d+)?>")


def with_stored_queries(connection: Connection, matches: Sequence[Match]) -> tuple[list[Match], list[SkippedRow]]:
    """The matches, those that are to be scored with what the store knows of their queries, and the skipped rows.

    A row whose answer neither it nor the store has keeps the score of the file, or is skipped if there is none. It is
    also skipped if its prompt does not have the question: then its key is that of another set of questions.
    """
    bare = [query.id for row, query in matches if _needs_query(row)]
    known: dict[int, Query] = {}
    for start in range(0, len(bare), _AT_ONCE):
        known |= catalog.contents(connection, bare[start : start + _AT_ONCE])
    kept: list[Match] = []
    skipped: list[SkippedRow] = []
    for row, query in matches:
        stored = known.get(query.id)
        if stored is None or not _needs_query(row):
            kept.append((row, query))
        elif row.prompt is not None and not has_question(row.prompt, stored.text):
            reason = f"its prompt does not have the question that {row.benchmark} has under its key"
            skipped.append(SkippedRow(row.line, reason, row.file))
        elif stored.answer is not None:
            kept.append((row._replace(query=stored), query))
        elif row.query.answer is not None:
            kept.append((row, query))
        elif row.file_score is not None:
            kept.append((row._replace(score=row.file_score), query))
        else:
            reason = f"the answer of its query is not known: add-benchmark {row.benchmark} stores it"
            skipped.append(SkippedRow(row.line, reason, row.file))
    return kept, skipped


def has_question(prompt: str, text: str) -> bool:
    """Whether a prompt has the first line of a question; marks of images and differences of blanks do not count."""
    lines = (normalised(_IMAGE.sub(" ", line)) for line in text.splitlines())
    return next((line for line in lines if line), "") in normalised(_IMAGE.sub(" ", prompt))


def _needs_query(row: Result) -> bool:
    return row.score is None and not row.query.text
