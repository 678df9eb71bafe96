"""Errors of the databases as errors with one line that says what to do.

The code of an error decides: SQLITE_* and SQLSTATE. Its class does not: to psycopg, a value that is too long for an
index, a full disk and a server that has gone are all an OperationalError.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from benchcoe_jobs.errors import (
    BenchcoeError,
    InputError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    UsageError,
)
from benchcoe_jobs.masking import masked

_BUSY = "is being written by another process: try again when it is done"
_NOT_WRITABLE = "cannot be written"
_DAMAGED = "is not a result store, or is damaged"
_RESTORE = "restore a backup (docs/operations.md)"

# PostgreSQL, appendix A. The longest prefix counts.
_UNAVAILABLE = ("08", "53300", "57P01", "57P02", "57P03", "57P05", "25P03")
_LOCKED = ("40001", "40P01", "55P03")
_FORBIDDEN = ("25006", "42501")
_LOST = ("42P01", "42703", "3F000")
_UNSTORABLE = ("22", "54000", "54023")
_REFUSED = ("28", "3D000")

# What libpq reports of a server that refuses a connection. It has no SQLSTATE there.
_REFUSALS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "is not permitted",
)


def explained(error: Exception, where: str) -> BenchcoeError | None:
    """The error of a database at the address `where` with a message for the user; None if it is a bug of a caller.

    `error` comes from SQLAlchemy, or from the driver if the connection could not be prepared.
    """
    cause = getattr(error, "orig", None) or error
    reason = (masked(str(cause)).strip() or type(cause).__name__).splitlines()[0]
    if isinstance(cause, UnicodeEncodeError):
        return InputError("a text contains half of a surrogate pair, which is no character and cannot be stored")
    if isinstance(cause, OverflowError):
        return InputError(f"a number is too large to be stored: {reason}") if "SQLite" in reason else None
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(getattr(cause, "sqlite_errorcode", None), reason, where)
    return _of_postgresql(cause, reason, where)


def _of_sqlite(code: int | None, reason: str, where: str) -> BenchcoeError | None:
    match None if code is None else code & 0xFF:  # the primary code
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusyError(f"the store at {where} {_BUSY}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreError(f"the store at {where} {_NOT_WRITABLE}: check the permissions of its file and folder")
        case sqlite3.SQLITE_CANTOPEN:
            return StoreError(
                f"the store at {where} cannot be opened: check that its folder exists and can be written; from a "
                "medium that cannot be written, read it with ?mode=ro&immutable=1"
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreError(f"{where} is not a SQLite database or is damaged: {reason}")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return _full(where, reason)
        case sqlite3.SQLITE_TOOBIG:
            return InputError(f"a value is larger than SQLite can store: {reason}")
        case sqlite3.SQLITE_ERROR if reason.startswith(("no such table", "no such column")):
            return StoreError(f"the store at {where} {_DAMAGED} ({reason}): {_RESTORE}")
    return None


def _of_postgresql(cause: Any, reason: str, where: str) -> BenchcoeError | None:
    state: str | None = getattr(cause, "sqlstate", None)
    if state is None:
        return _without_code(cause, reason, where)
    if state.startswith(_UNAVAILABLE):
        return StoreUnavailableError(f"the database at {where} does not answer: {reason}")
    if state.startswith(_LOCKED):
        return StoreBusyError(f"the store at {where} {_BUSY} ({reason})")
    if state == "57014":
        return StoreError(f"the database at {where} ended a statement ({reason}): raise its statement_timeout")
    if state.startswith(_FORBIDDEN):
        return StoreError(f"the store at {where} {_NOT_WRITABLE} ({reason}): check the permissions of its role")
    if state.startswith(_LOST):
        return StoreError(f"the store at {where} {_DAMAGED} ({reason}): {_RESTORE}")
    if state.startswith(_UNSTORABLE):
        return InputError(f"a value cannot be stored in the database at {where}: {reason}")
    if state.startswith(_REFUSED):
        return _refused(where, reason)
    if state.startswith(("53", "58030")):
        return _full(where, reason)
    if state.startswith(("58", "XX")):
        return StoreError(f"the database at {where} failed ({reason}): see the log of the server")
    return None


def _without_code(cause: Any, reason: str, where: str) -> BenchcoeError | None:
    """An error of psycopg or libpq before or after the server could answer."""
    kinds = {kind.__name__ for kind in type(cause).__mro__}
    if "DataError" in kinds:
        return InputError(f"a value cannot be stored in the database at {where}: {reason}")
    if "ProgrammingError" in kinds:
        return UsageError(f"the database URL cannot be used: {reason}")
    if any(words in reason for words in _REFUSALS):
        return _refused(where, reason)
    if kinds & {"OperationalError", "InterfaceError"}:
        return StoreUnavailableError(f"the database at {where} does not answer: {reason}")
    return None


def _refused(where: str, reason: str) -> StoreError:
    return StoreError(f"the database at {where} refuses the connection: {reason}")


def _full(where: str, reason: str) -> StoreError:
    return StoreError(f"the disk under {where} is full or faulty ({reason}): free some space and try again")
