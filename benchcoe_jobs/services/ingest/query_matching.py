"""Find the stored query of each row of a result file."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Result, SkippedRow, derived_key
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.results.catalog import StoredQuery

Match = tuple[Result, StoredQuery]


class Matcher:
    """Finds the queries of one benchmark and adds new ones.

    A row is skipped if its question, subject or answer differs from the stored query with its key: two files with
    different questions under the same keys must not be merged.
    """

    def __init__(self, connection: Connection, benchmark: str, *, may_add_subjects: bool) -> None:
        self.benchmark_id = catalog.ensure_benchmark(connection, benchmark)
        self._connection = connection
        self._stored = catalog.stored_queries(connection, self.benchmark_id)
        self._subjects = _fixed_subjects(benchmark) or set(catalog.subject_ids(connection, self.benchmark_id))
        self._may_add_subjects = may_add_subjects or not self._subjects
        self._by_text: dict[str, list[str]] | None = None

    def match(self, rows: Sequence[Result]) -> tuple[list[Match], list[SkippedRow], int]:
        """The rows with their stored queries, the skipped rows, and the number of new queries."""
        skipped: list[SkippedRow] = []
        kept: list[tuple[Result, str]] = []
        new: dict[str, Query] = {}
        for row in rows:
            key = self._key(row.query)
            stored = self._stored.get(key)
            query = new.get(key, row.query)
            if stored is not None:
                reason = self._difference(row.query, key, stored)
            elif query is not row.query and query.subject != row.query.subject:
                reason = f"its subject {row.query.subject!r} differs from {query.subject!r} of an earlier row"
            elif query is not row.query:
                reason = None if query.content_hash == row.query.content_hash else _OTHER_CONTENT
            elif row.query.subject not in self._subjects and not self._may_add_subjects:
                reason = unknown_subject(row.query.subject, self._subjects)
            else:
                reason = None
                new[key] = row.query
            if reason is None:
                kept.append((row, key))
            else:
                skipped.append(SkippedRow(row.line, reason))
        if new:
            self._stored |= catalog.add_queries(self._connection, self.benchmark_id, list(new.values()))
            self._by_text = None
        return [(row, self._stored[key]) for row, key in kept], skipped, len(new)

    def _key(self, query: Query) -> str:
        """The key of a query in the store: its own, or if it has none, that of the only stored query with its text."""
        if query.key in self._stored or query.key != derived_key(query.content_hash):
            return query.key
        same_text = self._texts().get(query.text, []) if _is_bare(query) else []
        return same_text[0] if len(same_text) == 1 else query.key

    def _difference(self, query: Query, key: str, stored: StoredQuery) -> str | None:
        if query.subject != stored.subject:
            return f"its subject {query.subject!r} differs from the stored {stored.subject!r}"
        if not query.text:
            return None
        same = (
            key in self._texts().get(query.text, []) if _is_bare(query) else query.content_hash == stored.content_hash
        )
        return None if same else _OTHER_CONTENT

    def _texts(self) -> dict[str, list[str]]:
        """Text -> keys. They are read on first use, for a row with a text but without choices and answer."""
        if self._by_text is None:
            self._by_text = {}
            for key, text in catalog.query_texts(self._connection, self.benchmark_id):
                self._by_text.setdefault(text, []).append(key)
        return self._by_text


_OTHER_CONTENT = "its question, options or answer differ from those stored under the same key"


def unknown_subject(name: str, subjects: set[str]) -> str:
    """The reason to skip a row of a subject that the benchmark does not have."""
    return f"unknown subject {name!r}; the benchmark has {', '.join(sorted(subjects))}"


def _is_bare(query: Query) -> bool:
    return not query.choices and query.answer is None


def _fixed_subjects(benchmark: str) -> set[str]:
    """The subjects of a built-in or plug-in benchmark; empty for any other."""
    if benchmark not in registry.names("benchmarks"):
        return set()
    return set(registry.load("benchmarks", benchmark).subjects)
