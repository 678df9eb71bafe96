"""Messages that a worker may find in its queues: some are no tickets, and some say more than a ticket has to say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from benchcoe_jobs.dispatch.tickets import TICKET, ticket


def message(**changes: Any) -> bytes:
    """A ticket with changed headers."""
    found = json.loads(ticket("gpu"))
    found["headers"] |= changes
    return json.dumps(found).encode()


NO_TICKETS: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"\xff\xfe{",
    "a number": b"7",
    "a list": b"[]",
    "nested too deep": b"[" * 30_000 + b"]" * 30_000,
    "too long": json.dumps({"headers": {"task": TICKET}, "body": "x" * 70_000}).encode(),
    "no headers": b'{"body": ""}',
    "headers that are a list": b'{"headers": ["task"]}',
    "another task": message(task="os.system"),
    "a task that is no text": message(task=["benchcoe.ticket"]),
    "a type of kombu's": b'{"__type__": "decimal", "__value__": "x"}',
}

ODD_TICKETS: dict[str, bytes] = {
    "no properties": json.dumps({"headers": {"task": TICKET}}).encode(),
    "a time limit": message(timelimit=["soon", {}]),
    "an expiry": message(expires="never", eta="yesterday"),
    "expired": message(expires=datetime(2000, 1, 1, tzinfo=UTC).isoformat()),
    "callbacks": message(callbacks=[{"task": "x"}], chain=[{"task": "x"}], chord=7, group=[1]),
    "stamps": message(stamped_headers=3, stamps="x", replaced_task_nesting="x"),
    "a body that is no base64": json.dumps(json.loads(ticket("gpu")) | {"body": "%"}).encode(),
    "an unknown encoding": json.dumps(json.loads(ticket("gpu")) | {"content-type": "application/x-python"}).encode(),
    "retries that are text": message(retries="many", shadow={}, ignore_result="?"),
}
