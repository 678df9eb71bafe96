"""Insert the records of an array into PostgreSQL, in the binary format of COPY: no Python object for each row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.tables import Base

Records = NDArray[np.void]
"""A structured array: one record for each row."""

_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_RECORDS_AT_ONCE = 2**16


def copy_records(connection: Connection, into: type[Base], columns: Sequence[str], records: Records) -> None:
    """Insert records; a row whose primary key exists gets the new values.

    Their fields are `columns`, of the types i4 for integers and f8 for double precision, which must be those of the
    table. A row is sent as the number of its fields, and each field as its length and its bytes, in network byte order.
    """
    names = ", ".join(columns)
    kinds = [records.dtype[name].str[1:] for name in columns]
    fields = [("n", ">i2")]
    for place, kind in enumerate(kinds):
        fields += [(f"length_{place}", ">i4"), (f"field_{place}", f">{kind}")]
    with closing(connection.connection.cursor()) as cursor:
        bulk.create_staging(cursor, into, names)
        with cursor.copy(f"COPY staging ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_START)
            for start in range(0, len(records), _RECORDS_AT_ONCE):
                part = records[start : start + _RECORDS_AT_ONCE]
                sent = np.empty(len(part), fields)
                sent["n"] = len(columns)
                for place, (name, kind) in enumerate(zip(columns, kinds, strict=True)):
                    sent[f"length_{place}"] = int(kind[1:])
                    sent[f"field_{place}"] = part[name]
                copy.write(sent.tobytes())
            copy.write(_END)
        cursor.execute(
            f"INSERT INTO {into.__tablename__} ({names}) SELECT {names} FROM staging {bulk.on_conflict(into, columns)}"
        )
