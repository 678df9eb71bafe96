"""One cache of compiled statements for all stores of a test process.

SQLAlchemy compiles a statement once for each engine. Every test opens stores of its own: a quarter of the time of tests
with a store was spent on compiling the same statements again.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, event

from benchcoe_jobs.store import session


def share(patch: pytest.MonkeyPatch) -> None:
    """Give engines that are created from now on the dialect and the cache of the first one that connected."""
    connected: dict[str, Engine] = {}

    def create_engine(*args: Any, **options: Any) -> Engine:
        engine = sqlalchemy.create_engine(*args, **options)
        name = engine.dialect.name
        if (earlier := connected.get(name)) is not None:
            # The dialect is a part of the key of the cache.
            engine.dialect, engine._compiled_cache = earlier.dialect, earlier._compiled_cache
        else:  # SQLAlchemy's own listener, which asks the server for its version, comes first
            event.listen(engine, "connect", lambda *_: connected.setdefault(name, engine))
        return engine

    patch.setattr(session, "create_engine", create_engine)
