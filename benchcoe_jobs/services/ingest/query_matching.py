"""Find the stored query of each row of a result file."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Result, SkippedRow, assign_split, derived_key
from benchcoe_jobs.importers.base import UNKNOWN_SUBJECT
from benchcoe_jobs.services.ingest.contents import agrees, completed, same_content, written
from benchcoe_jobs.services.ingest.known_questions import Copy, KnownQuestions
from benchcoe_jobs.store.results import catalog, pictures
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.wording import counted

Match = tuple[Result, StoredQuery]
Matched = tuple[list[Match], list[SkippedRow], int]
"""The rows with their stored queries, the skipped rows, and the number of new queries."""

MAX_DOUBTS = 100_000
"""Rows that are kept until the end of a file because they seem to be copies."""


_KEYS_COMPARED = 5_000
_KEY_SHOWN = 100


class Matcher:
    """Finds the queries of one benchmark and adds new ones.

    A row is skipped if its question, subject or answer differs from the stored query with its key: two files with
    different questions under the same keys must not be merged. Without `new_queries`, a row with a new key that is a
    copy of a known query is matched to it if question and key, or question, choices and answer, are the same, and
    skipped otherwise, unless an expert has rows of both. What is skipped does not depend on the size of the parts in
    which rows are matched.

    `differing` has the rows whose content differs from the stored one. `filled` has the ids of the queries whose
    content was unknown and is known now.
    """

    def __init__(
        self,
        connection: Connection,
        benchmark: str,
        record: ImportRecord,
        *,
        may_add_subjects: bool,
        new_queries: bool = False,
    ) -> None:
        self.benchmark_id = catalog.ensure_benchmark(connection, benchmark, record.id)
        self.differing: list[Match] = []
        self.filled: set[int] = set()
        self._connection = connection
        self._record = record
        self._benchmark = benchmark
        self._stored = catalog.stored_queries(connection, self.benchmark_id)
        self._subjects_before = {query.subject for query in self._stored.values()}
        self._last_before = max((query.id for query in self._stored.values()), default=0)
        self._n_before = len(self._stored)
        self._subjects = _fixed_subjects(benchmark) or set(catalog.subject_ids(connection, self.benchmark_id))
        self._may_add_subjects = may_add_subjects or not self._subjects
        self._new_queries = self._takes_copies = new_queries
        self._known = KnownQuestions(connection, self.benchmark_id, self._stored)
        self._with_pictures = pictures.hashes_of_benchmark(connection, self.benchmark_id).keys()
        self._matched_by_text: set[int] = set()
        self._by_text: dict[str, list[str]] | None = None
        self._contents: dict[str, Query] = {}
        self._new: dict[str, Query] = {}
        self._to_fill: dict[int, Query] = {}
        self._doubts: list[tuple[Result, Copy]] = []
        self._met: set[str] = set()
        self._n_new = 0
        self._unknown: dict[str, str] = {}
        self._left_out: dict[str, tuple[str, str]] = {}

    @property
    def has_doubts(self) -> bool:
        """Whether rows wait for `settle`."""
        return bool(self._doubts)

    def match(self, rows: Sequence[Result]) -> Matched:
        """Match one part of a file."""
        skipped: list[SkippedRow] = []
        kept: list[tuple[Result, str]] = []
        self._read_contents(rows)
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
                    self._leave_out(row, copy, reason)
            if reason is None:
                kept.append((row, key))
            else:
                skipped.append(SkippedRow(row.line, reason, row.file))
        n_new = self._write()
        matches = [(row, self._stored[key]) for row, key in kept]
        if self._with_pictures:
            self._matched_by_text |= {stored.id for row, stored in matches if row.query.text and not row.query.images}
        return matches, skipped, n_new

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
        same = self._same_queries([(row, copy) for row, copy in doubts if row.query.key not in twice])
        reasons: dict[str, str] = {}
        skipped = []
        rows = []
        for row, copy in doubts:
            if row.query.key in twice:
                rows.append(row)
            elif row.query in same:
                rows.append(row._replace(query=replace(row.query, key=copy.keys[0])))
            else:
                reason = reasons.setdefault(copy.reason, copy.explained(row.line, row.query.key))
                self._leave_out(row, copy, reason)
                skipped.append(SkippedRow(row.line, reason, row.file))
        self._takes_copies = True
        matches, others, n_new = self.match(rows)
        return matches, skipped + others, n_new

    def _leave_out(self, row: Result, copy: Copy, reason: str) -> None:
        """Remember a row that is left out as a copy of a query which was stored before the file."""
        if any(key in self._stored and self._stored[key].id <= self._last_before for key in copy.keys):
            self._left_out[row.query.key] = row.query.subject, reason

    def _same_queries(self, doubts: Sequence[tuple[Result, Copy]]) -> set[Query]:
        """The queries of rows that are a stored query under another spelling of its key, or under another key."""
        stored = {copy.keys[0]: self._stored[copy.keys[0]] for _, copy in doubts if len(copy.keys) == 1}
        contents = catalog.contents_by_key(self._connection, [query.id for query in stored.values()]) if stored else {}
        same = set()
        for row, copy in doubts:
            query, known = row.query, contents.get(copy.keys[0])
            if len(copy.keys) == 1 and known is not None and known.text and query.text:
                is_same = agrees if copy.is_spelling else same_content
                if is_same(known, stored[known.key].content_hash, query):
                    same.add(query)
        return same

    def reason_to_refuse(self) -> str | None:
        """Why the file must be refused as a whole: few of its queries are stored ones, in subjects that have some; else
        None.

        Few are less than half of the queries of the file, or of the stored ones if they are fewer. Only those count
        that may be stored ones under other keys: copies that were left out, and new keys without a text. If they were
        taken, no query would have the scores of every expert.
        """
        doubtful = dict.fromkeys([*self._unknown, *self._left_out])
        if self._new_queries or not doubtful:
            return None
        subjects = {self._stored[key].subject for key in self._met} | set(self._unknown.values())
        subjects |= {subject for subject, _ in self._left_out.values()}
        n_stored = sum(query.id <= self._last_before and query.subject in subjects for query in self._stored.values())
        n_met, n_file = len(self._met), len(self._met) + len(doubtful)
        if 2 * n_met >= min(n_file, n_stored):
            return None
        found = f"only {n_met:,} of its {n_file:,} queries are" if n_met else f"none of its {n_file:,} queries is"
        if self._left_out:
            _, why = next(iter(self._left_out.values()))
        else:
            unknown = next(iter(self._unknown))
            why = (
                f"it has {unknown!r}, and the nearest key of the benchmark is {self._nearest(unknown)!r}; "
                "--new-queries adds them if its queries are others"
            )
        return f"{found} among the {self._n_before:,} of benchmark {self._benchmark!r}: {why}"

    def _nearest(self, key: str) -> str:
        """The stored key that is most like another one, of the first thousands."""
        known = [query.key for query in self._stored.values() if query.id <= self._last_before][:_KEYS_COMPARED]
        return difflib.get_close_matches(key[:_KEY_SHOWN], known, n=1, cutoff=0.0)[0]

    def notes(self) -> Iterator[str]:
        """Remarks if the file met no query that was stored before it, and if it lacks the pictures of those it met."""
        if not self._met and self._n_before and self._n_new:
            yield f"none of the queries of {self._benchmark} that were stored before is in the file"
        if n := len(self._matched_by_text & self._with_pictures):
            which = counted(n, "query of it has", "queries of it have")
            yield f"{which} pictures in {self._benchmark} and none in the file: matched without them"

    def _read_contents(self, rows: Sequence[Result]) -> None:
        """Read the content of the stored queries that a row of the part writes in another way."""
        ids = set()
        for row in rows:
            stored = self._stored.get(row.query.key)
            if stored is not None and row.query.text and stored.content_hash != row.query.content_hash:
                ids.add(stored.id)
        self._contents = catalog.contents_by_key(self._connection, ids) if ids else {}

    def _key(self, query: Query) -> str:
        """The key of a query in the store: its own, or if it has none, that of the only known query with its text."""
        if query.key in self._stored or query.key in self._new or query.key != derived_key(query.content_hash):
            return query.key
        same_text = self._texts().get(written(query.text), []) if _is_bare(query) else []
        return same_text[0] if len(same_text) == 1 else query.key

    def _difference(self, row: Result, stored: StoredQuery) -> str | None:
        query = row.query
        if stored.id <= self._last_before:
            self._met.add(stored.key)
        if query.subject not in (stored.subject, UNKNOWN_SUBJECT):
            return f"its subject {query.subject!r} differs from the stored {stored.subject!r}"
        if not query.text or query.content_hash == stored.content_hash:
            return None
        if stored.key not in self._contents:  # a row with its text alone, see `_key`
            self._contents |= catalog.contents_by_key(self._connection, [stored.id])
        known = self._contents[stored.key]
        merged = completed(known, query)
        if merged is None or (merged.text, merged.choices, merged.answer) == (known.text, known.choices, known.answer):
            if agrees(known, stored.content_hash, query):
                return None
            self.differing.append((row, stored))
            return _OTHER_CONTENT
        self._contents[stored.key] = self._to_fill[stored.id] = merged
        self._stored[stored.key] = replace(stored, content_hash=merged.content_hash)
        self._learn(merged)
        return None

    def _difference_from_new(self, query: Query, known: Query) -> str | None:
        if query.subject not in (known.subject, UNKNOWN_SUBJECT):
            return f"its subject {query.subject!r} differs from {known.subject!r} of an earlier row"
        if not query.text or query.content_hash == known.content_hash:
            return None
        merged = completed(known, query)
        if merged is None:
            return None if agrees(known, known.content_hash, query) else _OTHER_CONTENT
        self._new[known.key] = merged
        self._learn(merged)
        return None

    def _subject_is_unknown(self, query: Query) -> str | None:
        if query.subject == UNKNOWN_SUBJECT:
            return (
                f"benchmark {self._benchmark!r} has no query with its key, and the row names no subject: "
                "add-benchmark stores its queries"
            )
        if query.subject in self._subjects or self._may_add_subjects:
            return None
        return f"{unknown_subject(query.subject, self._subjects)}; --new-subjects adds it"

    def _add(self, query: Query) -> None:
        # A later row of the part may bring the text of the query, and must not move it to another split.
        split = query.split or assign_split(query.split_hash)
        self._new[query.key] = query if query.has_question else query.with_split(split)
        self._n_new += 1
        self._known.add(query)
        if query.text and self._by_text is not None:
            self._by_text.setdefault(written(query.text), []).append(query.key)
        if not query.has_question and query.subject in self._subjects_before:
            self._unknown[query.key] = query.subject

    def _learn(self, query: Query) -> None:
        """Remember the question of a known key."""
        self._unknown.pop(query.key, None)
        self._known.add_question(query)
        if self._by_text is not None and query.key not in self._by_text.get(written(query.text), []):
            self._by_text.setdefault(written(query.text), []).append(query.key)

    def _write(self) -> int:
        """Write new queries and completed contents. Returns the number of new queries."""
        n_new = len(self._new)
        self._stored |= catalog.add_queries(
            self._connection, self.benchmark_id, list(self._new.values()), self._record.id
        )
        n_images = {id_: len(query.images) for id_, query in self._to_fill.items() if id_ <= self._last_before}
        self._record.before_content(n_images.keys(), n_images)
        catalog.fill_contents(self._connection, self._to_fill)
        self.filled |= self._to_fill.keys()
        self._new, self._to_fill = {}, {}
        return n_new

    def _texts(self) -> dict[str, list[str]]:
        """Text as by `written` -> keys. They are read on first use, for a row without choices and answer."""
        if self._by_text is None:
            self._by_text = {}
            for key, text, _ in catalog.questions_by_key(self._connection, self.benchmark_id):
                self._by_text.setdefault(written(text), []).append(key)
            for query in (*self._new.values(), *self._to_fill.values()):
                self._by_text.setdefault(written(query.text), []).append(query.key)
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
