"""Compare the contents of queries: text, choices and answer, as programs may write them in several ways."""

from __future__ import annotations

import unicodedata

from benchcoe_jobs.characters import same_characters
from benchcoe_jobs.domain import Query


def written(text: str) -> str:
    """The text with one form of line ends and of accents (Unicode NFC), and without blanks around it."""
    return unicodedata.normalize("NFC", same_characters(text)).strip()


def agrees(known: Query, content_hash: str, query: Query) -> bool:
    """Whether nothing in a query contradicts a known one. What is unknown of either contradicts nothing.

    `known` is read without its images; `content_hash` is its stored hash, by which images are compared.
    """
    if not _agree(known, query):
        return False
    whole = Query(known.key, known.subject, known.text, known.choices, known.answer, images=query.images)
    return not query.images or content_hash in (whole.content_hash, whole.hashed())


def same_content(known: Query, content_hash: str, query: Query) -> bool:
    """Whether a query agrees with a known one, and has the same parts: choices, an answer or both beside its text.

    A text alone may be that of several questions.
    """
    same_parts = (bool(known.choices), known.answer is None) == (bool(query.choices), query.answer is None)
    is_bare = not query.choices and query.answer is None
    return same_parts and not is_bare and agrees(known, content_hash, query)


def completed(known: Query, query: Query) -> Query | None:
    """A known query whose text or answer is unknown, with what a later row tells of it; None if they contradict.

    What is known stays as it is written.
    """
    if (known.text and known.answer is not None) or not query.text:
        return None
    if not _agree(known, query):
        return None
    return Query(
        known.key,
        known.subject,
        known.text or query.text,
        known.choices or query.choices,
        query.answer if known.answer is None else known.answer,
        known.split,
        query.images,
        known.source or query.source,
    )


def _agree(known: Query, query: Query) -> bool:
    if known.text and written(known.text) != written(query.text):
        return False
    if known.choices and query.choices and list(map(written, known.choices)) != list(map(written, query.choices)):
        return False
    return None in (known.answer, query.answer) or written(known.answer or "") == written(query.answer or "")
