"""Recognise a new query as a copy of a known one under another key.

A second file of a benchmark may write keys and questions in another way: pandas makes the key 1 into 1.0 if a join left
a gap, spreadsheets end lines with CRLF, macOS decomposes accents. Each of its rows would be a new query, and no query
of the benchmark would then have scores of every expert.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection

from benchcoe_jobs.domain import Query, derived_key
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.results.catalog import StoredQuery

OTHER_SPELLING = "its key is another spelling of a known key"
OTHER_KEY = "its question is known under another key"

Spelling = tuple[str, ...]

_PARTS = re.compile(r"[^\W\d_]+|\d+")
_FRACTION_OF_ZERO = re.compile(r"(?<=\d)\.0+(?![\d.])")
_GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
_SCIENTIFIC = re.compile(r"\d(\.\d+)?e\+?\d{1,2}")


class Copy(NamedTuple):
    """Why a new query is taken for a copy, and the keys of the known queries that it may be a copy of."""

    reason: str
    keys: list[str]

    @property
    def is_spelling(self) -> bool:
        """Whether the key is another spelling of the only one of `keys`."""
        return self.reason == OTHER_SPELLING

    def explained(self, line: int, key: str) -> str:
        """The reason to skip the row, with it as the example: the reasons of a file are grouped."""
        return (
            f"{self.reason} (in row {line}, {key!r} for {self.keys[0]!r}); --new-queries takes such rows as new queries"
        )


class KnownQuestions:
    """The questions and keys of a benchmark, in the forms in which they are compared. They are read on first use."""

    def __init__(self, connection: Connection, benchmark_id: int, stored: Mapping[str, StoredQuery]) -> None:
        self._connection = connection
        self._benchmark_id = benchmark_id
        self._stored = stored
        self._by_text: dict[int, dict[str, int]] | None = None
        self._unread: list[Query] = []
        self._by_spelling: dict[Spelling, list[str]] | None = None
        self._by_number: dict[tuple[str, Spelling], list[str]] = {}

    def copied_by(self, query: Query) -> Copy | None:
        """The known queries that a query with a new key seems to copy; None if it is a query of its own."""
        with_question = self._with_question(query) if query.has_question else []
        if query.has_question and query.key == derived_key(query.content_hash):
            return Copy(OTHER_KEY, with_question) if with_question else None
        if not (known := self._spellings()):
            return None
        if with_question:
            same = [key for key in known.get(spelling(query.key), []) if key in with_question]
            return Copy(OTHER_SPELLING, same) if len(same) == 1 else Copy(OTHER_KEY, with_question)
        parts = spelling(query.key)
        keys = known.get(parts, [])
        if not keys and not query.text:  # a text would tell that it is another question
            keys = self._by_number.get((query.subject, parts), [])
            number = _without_prefix(parts)
            keys = keys or [key for key in known.get(number, []) if self._stored_subject(key) in (None, query.subject)]
        return Copy(OTHER_SPELLING, keys) if len(keys) == 1 else None

    def add(self, query: Query) -> None:
        """Add a query that is accepted as a new one."""
        self.add_question(query)
        if self._by_spelling is not None:
            self._add_key(query.key, query.subject)

    def add_question(self, query: Query) -> None:
        """Add the question of a known key."""
        if self._by_text is None:
            self._unread.append(query)
        elif query.has_question:
            self._add_question(self._by_text, query.key, query.text, query.choices)

    def _with_question(self, query: Query) -> list[str]:
        found = self._questions().get(hash(normalised(query.text)), {})
        if query.images:
            return [key for key in found if self._has_content(key, query.content_hash)]
        if not query.choices and query.answer is None and len(found) > 1:
            return []  # a text alone does not tell which of several questions it is
        options = _options_hash(query.choices)
        return [key for key, other in found.items() if not (options and other) or options == other]

    def _has_content(self, key: str, content_hash: str) -> bool:
        stored = self._stored.get(key)
        return stored is not None and stored.content_hash == content_hash

    def _stored_subject(self, key: str) -> str | None:
        stored = self._stored.get(key)
        return None if stored is None else stored.subject

    def _spellings(self) -> dict[Spelling, list[str]]:
        if self._by_spelling is None:
            self._by_spelling = {}
            for key, stored in self._stored.items():
                self._add_key(key, stored.subject)
        return self._by_spelling

    def _questions(self) -> dict[int, dict[str, int]]:
        """Hash of a text -> keys, each with the hash of its choices."""
        if self._by_text is None:
            self._by_text = {}
            for key, text, choices in catalog.questions_by_key(self._connection, self._benchmark_id):
                self._add_question(self._by_text, key, text, choices)
            for query in self._unread:
                self.add_question(query)
            self._unread = []
        return self._by_text

    @staticmethod
    def _add_question(by_text: dict[int, dict[str, int]], key: str, text: str, choices: tuple[str, ...]) -> None:
        by_text.setdefault(hash(normalised(text)), {})[key] = _options_hash(choices)

    def _add_key(self, key: str, subject: str) -> None:
        assert self._by_spelling is not None  # noqa: S101
        parts = spelling(key)
        self._by_spelling.setdefault(parts, []).append(key)
        number = _without_prefix(parts)
        if number != parts:
            self._by_number.setdefault((subject, number), []).append(key)


def normalised(text: str) -> str:
    """A text without the differences that programs make: line ends, blanks, and the composition of accents."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())


@lru_cache(1)  # a query that is new is compared, and then added
def spelling(key: str) -> Spelling:
    """The words and numbers of a key. Equal for 1, 1.0, 001, 1e0 and "1 "; for q1, Q-01 and "q_1"."""
    if key.isdecimal() and key.isascii() and key[0] != "0":
        return (key,)
    key = unicodedata.normalize("NFKC", key).casefold().strip()
    if key[:1].isdecimal():
        if _GROUPED.fullmatch(key):
            key = key.replace(",", "")
        elif _SCIENTIFIC.fullmatch(key) and (number := Decimal(key)) == int(number):
            key = str(int(number))
    if "." in key:
        key = _FRACTION_OF_ZERO.sub("", key)
    parts = _PARTS.findall(key)
    return tuple(part.lstrip("0") or "0" if part[0].isdecimal() else part for part in parts) or (key,)


def _without_prefix(parts: Spelling) -> Spelling:
    """A spelling from its first number on: 17 for toy-17. The same if there is no number."""
    for place, part in enumerate(parts):  # not a generator, which takes twice as long for each key
        if part[0].isdecimal():
            return parts[place:]
    return parts


def _options_hash(choices: tuple[str, ...]) -> int:
    """A hash of the choices; 0 if there are none."""
    return hash(tuple(map(normalised, choices))) or 1 if choices else 0
