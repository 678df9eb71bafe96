"""The clock of the database. Leases are compared by it alone, so the clock of a worker may be wrong."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class database_time(FunctionElement[float]):  # noqa: N801  (named like SQLAlchemy's functions)
    """Seconds since 1970 at the time of the statement, not of the beginning of the transaction."""

    type = Double()
    inherit_cache = True


@compiles(database_time, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_time, "postgresql")
def _postgresql(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)"
