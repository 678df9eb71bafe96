"""The tables of imports. docs/store.md describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from benchcoe_jobs.store.tables import Base, UtcTime, now

_IDS_ARE_NOT_USED_AGAIN = {"sqlite_autoincrement": True}


class Import(Base):
    """An import that changed the store. Its name is `import-` and its id, which is never used again."""

    __tablename__ = "import"
    __table_args__ = _IDS_ARE_NOT_USED_AGAIN
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    command: Mapped[str] = mapped_column(String)
    file: Mapped[str] = mapped_column(String)
    sha256: Mapped[str] = mapped_column(String)
    format: Mapped[str | None] = mapped_column(String)
    benchmarks: Mapped[list[str]] = mapped_column(JSON, default=list)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class EarlierRow(Base):
    """A row as it was before an import changed it. `content` is null if there was no row with this key.

    `key` is a JSON list of the values of the key columns, see `imports.key_columns`.
    """

    __tablename__ = "earlier_row"
    import_id: Mapped[int] = mapped_column(ForeignKey("import.id"), primary_key=True)
    table_name: Mapped[str] = mapped_column(String, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    content: Mapped[dict[str, Any] | None] = mapped_column(JSON)
