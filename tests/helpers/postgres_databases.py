"""Databases of the test server. One that a test has finished with is emptied, and given to the next test.

To create a database takes 0.15 s of processor time, a third of what most tests on PostgreSQL need; to empty one takes a
tenth of that. What cannot be compared cheaply is not used again: a database of which a test changed the schema, or to
which another process is still connected.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

# A change of the schema writes rows of these, with its transaction. A copy of the template has those of the template.
_CATALOGUES = ("pg_attrdef", "pg_constraint", "pg_proc", "pg_rewrite", "pg_trigger")
_SCHEMA = "SELECT md5(concat_ws(' ', {}))".format(
    ", ".join(
        [
            "(SELECT string_agg(concat_ws(':', oid, relname, relacl, reloptions), ' ' ORDER BY oid) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace)",
            "(SELECT string_agg(concat_ws(':', attrelid, attnum, xmin), ' ' ORDER BY attrelid, attnum)"
            " FROM pg_attribute WHERE attrelid >= 16384)",
            "(SELECT string_agg(concat_ws(':', objoid, objsubid, xmin), ' ' ORDER BY objoid, objsubid)"
            " FROM pg_description WHERE objoid >= 16384)",
            "(SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting)",
            # The first temporary table of a session creates a schema, which is no change of ours.
            "(SELECT string_agg(concat_ws(':', oid, xmin), ' ' ORDER BY oid) FROM pg_namespace"
            " WHERE nspname !~ '^pg_(toast_)?temp_')",
            *(f"(SELECT string_agg(concat_ws(':', oid, xmin), ' ' ORDER BY oid) FROM {name})" for name in _CATALOGUES),
        ]
    )
)
_FILLED = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
"""
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL"
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class Databases:
    """Databases of a server, made from a template that `migrate` fills. `url` names any database of the server."""

    def __init__(self, url: str, migrate: Callable[[str], object], *, used_again: bool) -> None:
        self._url = make_url(url)
        self._used_again = used_again
        self._made: list[str] = []
        self._emptied: list[str] = []
        self._admin = self._connect(None)
        template = self._create("template", "")
        migrate(self._url_of(template))
        # Copying files takes half the time of writing every page to the log, the default since PostgreSQL 15.
        strategy = " STRATEGY file_copy" if self._admin.info.server_version >= 150_000 else ""
        self._as_migrated = f" TEMPLATE {template}{strategy}"
        with self._connect(template) as connection:
            self._schema = self._one(connection, _SCHEMA)
            self._sequences = dict(connection.execute(_SEQUENCES).fetchall())
            self._rows = {
                name: self._one(connection, sql.SQL("SELECT json_agg(t) FROM {} t").format(sql.Identifier(name)))
                for (name,) in connection.execute(_FILLED).fetchall()
            }

    def make(self, migrated: bool) -> str:
        """The URL of a database of one's own, empty or migrated."""
        if migrated and self._emptied:
            return self._url_of(self._emptied.pop())
        return self._url_of(self._create("test", self._as_migrated if migrated else ""))

    def give_back(self, url: str) -> None:
        """Empty a migrated database that is not needed any more, for the next `make`."""
        name = make_url(url).database
        if self._used_again and name is not None:
            with self._connect(name) as connection:
                if self._is_alone(connection) and self._one(connection, _SCHEMA) == self._schema:
                    self._empty(connection)
                    self._emptied.append(name)

    def drop_all(self) -> None:
        """Drop every database that was made here."""
        for name in self._made:
            self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    def _is_alone(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether no other client is connected. The server notices a closed connection a little later."""
        for _ in range(20):
            if self._one(connection, _OTHERS) == 0:
                return True
            time.sleep(0.01)
        return False

    def _empty(self, connection: psycopg.Connection[Any]) -> None:
        """Bring rows and sequences back to what a migrated database has."""
        connection.execute("SET session_replication_role = replica")  # rows may be deleted in any order
        names = [sql.Identifier(name) for (name,) in connection.execute(_FILLED).fetchall()]
        for name in names:
            connection.execute(sql.SQL("DELETE FROM {}").format(name))
        # Otherwise new rows would fill the gaps of deleted ones, in another order.
        connection.execute(sql.SQL("VACUUM {}").format(sql.SQL(", ").join(names)))
        for table, rows in self._rows.items():
            insert = "INSERT INTO {0} OVERRIDING SYSTEM VALUE SELECT * FROM json_populate_recordset(NULL::{0}, %s)"
            connection.execute(sql.SQL(insert).format(sql.Identifier(table)), [json.dumps(rows)])
        for sequence, _ in connection.execute(_SEQUENCES).fetchall():
            before = self._sequences.get(sequence)
            connection.execute("SELECT setval(%s::regclass, %s, %s)", [sequence, before or 1, before is not None])

    def _create(self, kind: str, how: str) -> str:
        name = f"{kind}_{uuid.uuid4().hex}"
        self._admin.execute(f"CREATE DATABASE {name}{how}".encode())
        self._made.append(name)
        return name

    def _connect(self, database: str | None) -> psycopg.Connection[Any]:
        url = self._url if database is None else self._url.set(database=database)
        given = url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(given, autocommit=True)

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    @staticmethod
    def _one(connection: psycopg.Connection[Any], query: str | sql.Composed) -> Any:
        row = connection.execute(query if isinstance(query, sql.Composed) else query.encode()).fetchone()
        assert row is not None
        return row[0]
