"""Database URLs: parse them, and refuse those that the libraries would read differently from what is written.

A library ignores options that it does not know, and takes a part of a password for the host if an @ in it is not
escaped: another database would be used, or a part of the password would be shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.masking import masked_url, remember, secrets_in_url

_LOOKS_LIKE = "it looks like sqlite:///benchcoe.db or postgresql://user@host/name"

# What `sqlite3` reads from a URI (https://sqlite.org/uri.html). `uri` is SQLAlchemy's, for names that begin with file:
_SQLITE_OPTIONS = {"mode": ("ro", "rw", "rwc"), "immutable": ("0", "1"), "uri": ("true", "1")}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A database URL that can be used.

    `shown` has no secrets. `path` is the file of a SQLite database, None for one in memory and for PostgreSQL.
    """

    url: URL
    shown: str
    path: Path | None = None
    is_read_only: bool = False

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whatever characters its name has."""
    return f"sqlite:///{quote(str(path), safe='/')}"


def parse(url: str) -> DatabaseUrl:
    """Parse the URL of a SQLite or PostgreSQL database. Raises UsageError, which never shows a password."""
    remember(*secrets_in_url(url))
    _require_one_at(url)
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:  # ValueError: the port is not a number
        raise UsageError(f"the database URL cannot be read: {_LOOKS_LIKE}") from error
    if "\0" in url or "\0" in (parsed.database or ""):
        raise UsageError(f"the database URL contains a NUL character: {_LOOKS_LIKE}")
    if backend == "sqlite":
        return _sqlite(url, parsed)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    elif backend != "postgresql":
        raise UsageError(f"database {backend!r} is not supported: use sqlite or postgresql")
    if not 0 <= (parsed.port or 0) < 65536:
        raise UsageError(f"the database URL has a port above 65535: {_LOOKS_LIKE}")
    return DatabaseUrl(parsed, masked_url(url))


def require_known_options(url: URL) -> None:
    """Raise UsageError if a PostgreSQL URL has an option that libpq does not know. Needs psycopg."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    for name in url.query:
        try:
            make_conninfo(**{name: ""})
        except ProgrammingError as error:
            raise UsageError(f"the database URL has the unknown option {name!r}: libpq has no such option") from error


def _require_one_at(url: str) -> None:
    scheme, _, rest = url.partition("://")
    if scheme.startswith("sqlite"):
        return
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    # "host:5432/name?user=a@b" would be the user "host" with a long password
    if rest.count("@") > 1 or ("@" in rest and re.fullmatch(r"[^:@]*:\d*", authority)):
        raise UsageError(
            "the database URL has an @ that does not end the user and the password: in a user name, a password or an "
            "option, write %40 for @, %2F for /, %3A for : and %3F for ?"
        )


def _sqlite(url: str, parsed: URL) -> DatabaseUrl:
    _, has_options, written = url.partition("?")
    options = dict(parse_qsl(written, keep_blank_values=True))
    for name, value in options.items():
        if name not in _SQLITE_OPTIONS:
            raise UsageError(
                f"the SQLite URL has the unknown option {name!r}: it may have mode=ro, mode=rw and immutable=1; in "
                "the name of a file, write %3F for ?"
            )
        if value not in _SQLITE_OPTIONS[name]:
            known = " or ".join(_SQLITE_OPTIONS[name])
            raise UsageError(f"the SQLite URL has {name}={value}: it must be {known}")
    if has_options and not options:
        raise UsageError("the SQLite URL ends with a ? without options: in the name of a file, write %3F for ?")
    database = parsed.database or ""
    if options.pop("uri", None) and database.startswith("file:"):
        database = database.removeprefix("file:")
    if any((parsed.username, parsed.password, parsed.host, parsed.port)):
        raise UsageError(f"the SQLite URL names a host: three slashes precede the file, {_LOOKS_LIKE}")
    if database in ("", ":memory:"):
        return DatabaseUrl(URL.create("sqlite"), url)
    path = Path(database)
    read_only = options.get("mode") == "ro" or options.get("immutable") == "1"
    if not options:
        return DatabaseUrl(URL.create("sqlite", database=database), url, path)
    uri = f"file:{quote(str(path.absolute()))}"
    used = URL.create("sqlite", database=uri, query={**options, "uri": "true"})
    return DatabaseUrl(used, url, path, read_only)
