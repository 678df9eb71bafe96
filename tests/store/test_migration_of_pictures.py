"""Migration 0011: pictures are stored once each, and nothing of a store with pictures is lost, up and down."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from alembic import command
from sqlalchemy import text

from benchcoe_jobs.store.migrate import alembic_config
from benchcoe_jobs.store.results import pictures
from benchcoe_jobs.store.session import Store

PNG, JPEG, OTHER = b"\x89PNG\r\n\x1a\n one", b"\xff\xd8\xff two", b"\x00 no known format"
IMAGES = [(1, 0, JPEG), (1, 1, PNG), (2, 0, PNG), (3, 0, PNG), (3, 1, OTHER), (3, 2, PNG)]
KEPT = [("[1, 0]", None), ("[2, 0]", {"query_id": 2, "position": 0, "content": {"base64": "AHBuZw=="}})]
"""Rows that an import kept: there was none, and there was one with a picture that no query has now."""


def go_to(store: Store, revision: str) -> None:
    config = alembic_config()
    step = command.upgrade if revision == "head" else command.downgrade
    with store.writing() as connection:
        config.attributes["connection"] = connection
        step(config, revision)


def earlier_rows(store: Store) -> list[tuple[str, str, Any]]:
    with store.reading() as connection:
        rows = connection.execute(text("SELECT table_name, key, content FROM earlier_row ORDER BY key")).all()
    return [(name, key, json.loads(content) if isinstance(content, str) else content) for name, key, content in rows]


def images(store: Store) -> list[tuple[int, int, bytes]]:
    with store.reading() as connection:
        rows = connection.execute(text("SELECT query_id, position, content FROM query_image ORDER BY 1, 2")).all()
    return [(query_id, position, bytes(content)) for query_id, position, content in rows]


def test_a_store_with_pictures_goes_up_and_down(filled: Store) -> None:
    go_to(filled, "0010")
    with filled.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO import (id, command, file, sha256, benchmarks, counts, created_at) "
                "VALUES (1, 'x', 'x', 'x', '[]', '{}', '2026-01-01 00:00:00')"
            ).execution_options()
        )
        for query_id, position, content in IMAGES:
            connection.execute(
                text("INSERT INTO query_image VALUES (:q, :p, :c)"), {"q": query_id, "p": position, "c": content}
            )
        for key, row in KEPT:
            connection.execute(
                text("INSERT INTO earlier_row VALUES (1, 'query_image', :key, :row)"),
                {"key": key, "row": None if row is None else json.dumps(row)},
            )
    before = earlier_rows(filled)
    for _ in range(2):
        go_to(filled, "head")
        with filled.reading() as connection:
            found = pictures.of_queries(connection, [1, 2, 3, 4])
            stored = connection.execute(text("SELECT hash, media_type, size FROM picture ORDER BY size")).all()
        assert found == {1: (JPEG, PNG), 2: (PNG,), 3: (PNG, OTHER, PNG)}
        kept = b"\x00png"
        assert [tuple(row) for row in stored] == [
            (hashlib.sha256(content).hexdigest(), kind, len(content))
            for content, kind in sorted(
                [
                    (kept, "application/octet-stream"),
                    (JPEG, "image/jpeg"),
                    (PNG, "image/png"),
                    (OTHER, "application/octet-stream"),
                ],
                key=lambda one: len(one[0]),
            )
        ]
        digest = hashlib.sha256(kept).hexdigest()
        assert earlier_rows(filled) == [
            ("query_picture", "[1, 0]", None),
            ("query_picture", "[2, 0]", {"query_id": 2, "position": 0, "picture_hash": digest}),
        ]
        go_to(filled, "0010")
        assert images(filled) == IMAGES
        assert earlier_rows(filled) == before
