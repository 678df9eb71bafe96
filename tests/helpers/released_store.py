"""The store that release 0.1.0 made (tests/store/fixtures), upgraded."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import Store, connect

DUMP = Path(__file__).parents[1] / "store" / "fixtures" / "store-0.1.0.sqlite.sql"


def released_store(folder: Path) -> Store:
    """The store in a new file of this folder."""
    with closing(sqlite3.connect(folder / "released.db")) as file:
        file.executescript(DUMP.read_text(encoding="utf-8"))
    store = connect(f"sqlite:///{folder / 'released.db'}")
    upgrade(store)
    return store
