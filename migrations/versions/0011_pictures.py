"""Pictures are stored once each by their SHA-256, and queries point at them.

query_image -> picture and query_picture. Rows of `query_image` that an import kept as they were before it follow. The
cache of vectors is for pictures too: embedding.text_hash -> content_hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from benchcoe_jobs.media_types import media_type

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_IMAGE = sa.table("query_image", sa.column("query_id"), sa.column("position"), sa.column("content"))
_PICTURE = sa.table("picture", *map(sa.column, ("hash", "media_type", "size", "content")))
_QUERY_PICTURE = sa.table("query_picture", *map(sa.column, ("query_id", "position", "picture_hash")))
_EARLIER = sa.table(
    "earlier_row",
    sa.column("import_id"),
    sa.column("table_name"),
    sa.column("key"),
    sa.column("content", sa.JSON()),
)


def upgrade() -> None:
    op.create_table(
        "picture",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_picture")),
    )
    op.create_table(
        "query_picture",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("picture_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["query.id"], name=op.f("fk_query_picture_query_id")),
        sa.ForeignKeyConstraint(["picture_hash"], ["picture.hash"], name=op.f("fk_query_picture_picture_hash")),
        sa.PrimaryKeyConstraint("query_id", "position", name=op.f("pk_query_picture")),
    )
    op.create_index(op.f("ix_query_picture_picture_hash"), "query_picture", ["picture_hash"], unique=False)
    op.execute("ALTER TABLE embedding RENAME COLUMN text_hash TO content_hash")
    seen: set[str] = set()
    for query_id, position, content in _images():
        digest = _stored(content, seen)
        row = {"query_id": query_id, "position": position, "picture_hash": digest}
        op.get_bind().execute(_QUERY_PICTURE.insert().values(**row))
    _rename_earlier_rows("query_image", "query_picture", lambda content: _stored(_decoded(content), seen))
    op.drop_table("query_image")


def downgrade() -> None:
    op.create_table(
        "query_image",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["query.id"], name=op.f("fk_query_image_query_id")),
        sa.PrimaryKeyConstraint("query_id", "position", name=op.f("pk_query_image")),
    )
    op.execute(
        "INSERT INTO query_image (query_id, position, content) SELECT query_id, position, content "
        "FROM query_picture JOIN picture ON picture.hash = query_picture.picture_hash"
    )
    _rename_earlier_rows("query_picture", "query_image", _encoded)
    op.execute("ALTER TABLE embedding RENAME COLUMN content_hash TO text_hash")
    op.drop_index(op.f("ix_query_picture_picture_hash"), table_name="query_picture")
    op.drop_table("query_picture")
    op.drop_table("picture")


def _images() -> Iterator[tuple[int, int, bytes]]:
    """The rows of `query_image`, with one picture in memory at a time: all of them may be gigabytes."""
    bind = op.get_bind()
    keys = bind.execute(sa.select(_IMAGE.c.query_id, _IMAGE.c.position)).all()
    for query_id, position in keys:
        found = sa.select(_IMAGE.c.content).where(_IMAGE.c.query_id == query_id, _IMAGE.c.position == position)
        yield query_id, position, bytes(bind.execute(found).scalar_one())


def _stored(content: bytes, seen: set[str]) -> str:
    """Store a picture unless it is one of `seen`. Returns its hash."""
    digest = hashlib.sha256(content).hexdigest()
    if digest not in seen:
        seen.add(digest)
        row = {"hash": digest, "media_type": media_type(content), "size": len(content), "content": content}
        op.get_bind().execute(_PICTURE.insert().values(**row))
    return digest


def _rename_earlier_rows(old: str, new: str, convert: Callable[[Any], Any]) -> None:
    """Let kept rows of one table be those of the other; `convert` maps the value of the one column that differs."""
    columns = {"query_image": "content", "query_picture": "picture_hash"}
    bind = op.get_bind()
    of_old = _EARLIER.c.table_name == old
    kept = sa.select(_EARLIER.c.import_id, _EARLIER.c.key, _EARLIER.c.content)
    for import_id, key, content in bind.execute(kept.where(of_old, _EARLIER.c.content.is_not(None))).all():
        changed = {name: value for name, value in content.items() if name != columns[old]}
        changed[columns[new]] = convert(content[columns[old]])
        this = (_EARLIER.c.import_id == import_id) & (_EARLIER.c.key == key)
        bind.execute(sa.update(_EARLIER).where(of_old, this).values(content=changed))
    bind.execute(sa.update(_EARLIER).where(of_old).values(table_name=new))


def _decoded(value: dict[str, str]) -> bytes:
    return base64.b64decode(value["base64"])


def _encoded(digest: str) -> dict[str, str]:
    found = sa.select(_PICTURE.c.content).where(_PICTURE.c.hash == digest)
    return {"base64": base64.b64encode(bytes(op.get_bind().execute(found).scalar_one())).decode("ascii")}
