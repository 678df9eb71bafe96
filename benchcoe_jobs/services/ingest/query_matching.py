"""Find the stored query of each row of a result file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Result, SkippedRow, assign_split, derived_key
from benchcoe_jobs.services.ingest.known_questions import Copy, KnownQuestions, completed
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.results.catalog import StoredQuery

Match = tuple[Result, StoredQuery]
Matched = tuple[list[Match], list[SkippedRow], int]
"""The rows with their stored queries, the skipped rows, and the number of new queries."""

MAX_DOUBTS = 100_000
"""Rows that are kept until the end of a file because they seem to be copies."""


class Matcher:
    """Finds the queries of one benchmark and adds new ones.

    A row is skipped if its question, subject or answer differs from the stored query with its key: two files with
    different questions under the same keys must not be merged. Without `new_queries`, a row with a new key is skipped
    if its question or key is a copy of a known one, unless an expert has rows of both. What is skipped does not
    depend on the size of the parts in which rows are matched.

    `differing` has the rows whose content differs from the stored one. `filled` has the ids of the queries whose
    content was unknown and is known now.
    """

    def __init__(
        self, connection: Connection, benchmark: str, *, may_add_subjects: bool, new_queries: bool = False
    ) -> None:
        self.benchmark_id = catalog.ensure_benchmark(connection, benchmark)
        self.differing: list[Match] = []
        self.filled: set[int] = set()
        self._connection = connection
        self._benchmark = benchmark
        self._stored = catalog.stored_queries(connection, self.benchmark_id)
        self._subjects_before = {query.subject for query in self._stored.values()}
        self._last_before = max((query.id for query in self._stored.values()), default=0)
        self._n_before = len(self._stored)
        self._subjects = _fixed_subjects(benchmark) or set(catalog.subject_ids(connection, self.benchmark_id))
        self._may_add_subjects = may_add_subjects or not self._subjects
        self._new_queries = self._takes_copies = new_queries
        self._known = KnownQuestions(connection, self.benchmark_id, self._stored)
        self._by_text: dict[str, list[str]] | None = None
        self._incomplete: dict[str, Query] = {}
        self._new: dict[str, Query] = {}
        self._to_fill: dict[int, Query] = {}
        self._doubts: list[tuple[Result, Copy]] = []
        self._met = False
        self._n_new = 0
        self._unknown_keys: dict[str, None] = {}

    def match(self, rows: Sequence[Result]) -> Matched:
        """Match one part of a file."""
        skipped: list[SkippedRow] = []
        kept: list[tuple[Result, str]] = []
        self._read_incomplete(rows)
        for row in rows:
            key = self._key(row.query)
            if key in self._stored:
                reason = self._difference(row, self._stored[key])
            elif key in self._new:
                reason = self._difference_from_new(row.query, self._new[key])
            elif (reason := self._subject_is_unknown(row.query)) is None:
                copy = None if self._takes_copies else self._known.copied_by(row.query)
                if copy is not None and len(self._doubts) < MAX_DOUBTS:
                    self._doubts.append((row, copy))
                    continue
                if copy is None:
                    self._add(row.query)
                else:
                    reason = copy.explained(row.line, row.query.key)
            if reason is None:
                kept.append((row, key))
            else:
                skipped.append(SkippedRow(row.line, reason))
        n_new = self._write()
        return [(row, self._stored[key]) for row, key in kept], skipped, n_new

    def settle(self, has_row: Callable[[Result, int], bool]) -> Matched:
        """Match the rows that seemed to be copies, at the end of the file.

        `has_row(row, query id)` tells whether the expert of a row has a row of this file on a stored query. If one has
        a row on both, the benchmark has the question twice.
        """
        doubts, self._doubts = self._doubts, []
        twice = {
            row.query.key
            for row, copy in doubts
            if any(key in self._stored and has_row(row, self._stored[key].id) for key in copy.keys)
        }
        reasons: dict[str, str] = {}
        for row, copy in doubts:
            if row.query.key not in twice:
                reasons.setdefault(copy.reason, copy.explained(row.line, row.query.key))
        skipped = [SkippedRow(row.line, reasons[copy.reason]) for row, copy in doubts if row.query.key not in twice]
        self._takes_copies = True
        matches, others, n_new = self.match([row for row, _ in doubts if row.query.key in twice])
        return matches, skipped + others, n_new

    def reason_to_refuse(self) -> str | None:
        """Why the file must be refused as a whole: it brings only keys that its subjects do not have; else None.

        Queries without a text could be the stored ones under other keys, and then no query would have the scores of
        every expert.
        """
        if self._new_queries or self._met or not self._unknown_keys:
            return None
        unknown, known = next(iter(self._unknown_keys)), next(iter(self._stored))
        return (
            f"none of its keys is among the {self._n_before:,} of benchmark {self._benchmark!r}: it has {unknown!r}, "
            f"and the benchmark has {known!r}; --new-queries adds them if its queries are others"
        )

    def note(self) -> str | None:
        """A remark if the file met no query that was stored before it; else None."""
        if self._met or not self._n_before or not self._n_new:
            return None
        return f"none of the queries of {self._benchmark} that were stored before is in the file"

    def _read_incomplete(self, rows: Sequence[Result]) -> None:
        """Read the known content of stored queries that a row of the part may complete."""
        ids = []
        for row in rows:
            stored = self._stored.get(row.query.key)
            if stored is not None and row.query.text and stored.content_hash != row.query.content_hash:
                ids.append(stored.id)
        self._incomplete |= catalog.incomplete_queries(self._connection, ids) if ids else {}

    def _key(self, query: Query) -> str:
        """The key of a query in the store: its own, or if it has none, that of the only known query with its text."""
        if query.key in self._stored or query.key in self._new or query.key != derived_key(query.content_hash):
            return query.key
        same_text = self._texts().get(query.text, []) if _is_bare(query) else []
        return same_text[0] if len(same_text) == 1 else query.key

    def _difference(self, row: Result, stored: StoredQuery) -> str | None:
        query = row.query
        self._met = self._met or stored.id <= self._last_before
        if query.subject != stored.subject:
            return f"its subject {query.subject!r} differs from the stored {stored.subject!r}"
        if not query.text or query.content_hash == stored.content_hash:
            return None
        if _is_bare(query) and stored.key in self._texts().get(query.text, []):
            return None
        known = self._incomplete.get(stored.key)
        merged = None if known is None else completed(known, query)
        if merged is None:
            self.differing.append((row, stored))
            return _OTHER_CONTENT
        self._incomplete[stored.key] = self._to_fill[stored.id] = merged
        self._stored[stored.key] = replace(stored, content_hash=merged.content_hash)
        self._learn(merged)
        return None

    def _difference_from_new(self, query: Query, known: Query) -> str | None:
        if query.subject != known.subject:
            return f"its subject {query.subject!r} differs from {known.subject!r} of an earlier row"
        if not query.text or query.content_hash == known.content_hash:
            return None
        if _is_bare(query) and query.text == known.text:
            return None
        merged = completed(known, query)
        if merged is None:
            return _OTHER_CONTENT
        self._new[known.key] = merged
        self._learn(merged)
        return None

    def _subject_is_unknown(self, query: Query) -> str | None:
        if query.subject in self._subjects or self._may_add_subjects:
            return None
        return unknown_subject(query.subject, self._subjects)

    def _add(self, query: Query) -> None:
        # A later row of the part may bring the text of the query, and must not move it to another split.
        split = query.split or assign_split(query.split_hash)
        self._new[query.key] = query if query.text else replace(query, split=split)
        self._n_new += 1
        self._known.add(query)
        if query.text and self._by_text is not None:
            self._by_text.setdefault(query.text, []).append(query.key)
        if not query.text and query.subject in self._subjects_before:
            self._unknown_keys[query.key] = None

    def _learn(self, query: Query) -> None:
        """Remember the question of a known key."""
        self._unknown_keys.pop(query.key, None)
        self._known.add_question(query)
        if self._by_text is not None and query.key not in self._by_text.get(query.text, []):
            self._by_text.setdefault(query.text, []).append(query.key)

    def _write(self) -> int:
        """Write new queries and completed contents. Returns the number of new queries."""
        n_new = len(self._new)
        self._stored |= catalog.add_queries(self._connection, self.benchmark_id, list(self._new.values()))
        catalog.fill_contents(self._connection, self._to_fill)
        self.filled |= self._to_fill.keys()
        self._new, self._to_fill = {}, {}
        return n_new

    def _texts(self) -> dict[str, list[str]]:
        """Text -> keys. They are read on first use, for a row with a text but without choices and answer."""
        if self._by_text is None:
            self._by_text = {}
            for key, text, _ in catalog.questions_by_key(self._connection, self.benchmark_id):
                self._by_text.setdefault(text, []).append(key)
            for query in (*self._new.values(), *self._to_fill.values()):
                self._by_text.setdefault(query.text, []).append(query.key)
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
