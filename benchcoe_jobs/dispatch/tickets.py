"""Tickets: the messages that tell workers of waiting shards, and the connection by which workers receive them.

A ticket is a message of Celery. Of a message that arrives in a queue, a worker reads only whether it is a ticket, and
hands Celery a ticket that it has written itself in its place. What else a message says (time limits, expiry, callbacks,
another task) therefore has no effect, and no message can stop a worker: what is not a ticket is dropped.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.transport import redis as redis_transport
from redis import Redis
from redis.exceptions import ConnectionError, ResponseError

from benchcoe_jobs import domain

log = logging.getLogger(__name__)

TICKET = "benchcoe.ticket"
"""The name of the only Celery task. Its argument is the name of the queue."""

_EXCHANGE = Exchange("")  # type: ignore[no-untyped-call]
"""The exchange without a name needs no binding in the broker: a queue is one Redis list."""

QUEUES = [
    Queue(queue.value, _EXCHANGE, routing_key=queue.value, no_declare=True)  # type: ignore[no-untyped-call]
    for queue in domain.Queue
]
"""The queues of kombu."""

_PAUSE_S = 1.0
"""Before a worker connects again to a broker that answers with an error: a key of another type, a replica."""

_MAX_BYTES = 64 * 1024
"""A longer message is not read. A ticket has about 900 bytes."""


def fault_of(item: bytes) -> str | None:
    """Why a message is not a ticket; None if it is one."""
    if len(item) > _MAX_BYTES:
        return f"it has {len(item):,} bytes"
    try:
        message = json.loads(item)
    except (ValueError, RecursionError):
        return "it is not JSON"
    headers = message.get("headers") if isinstance(message, dict) else None
    if not isinstance(headers, dict):
        return "it has no headers"
    if headers.get("task") != TICKET:
        return f"its task is {str(headers.get('task'))[:80]!r}"
    return None


def ticket(queue: str) -> bytes:
    """A ticket of a queue, as kombu stores messages in a Redis list."""
    tag = str(uuid.uuid4())
    body = json.dumps([[queue], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    message = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": TICKET, "id": tag, "lang": "py", "argsrepr": repr([queue]), "kwargsrepr": "{}"},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": tag,
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }
    return json.dumps(message).encode()


class _TicketClient(Redis):
    """A Redis client whose BRPOP returns tickets and nothing else."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            reply = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if command_name != "BRPOP":
                raise
            log.warning("the broker gives no tickets: %s", error)
            time.sleep(_PAUSE_S)  # Celery connects again immediately
            raise ConnectionError(str(error)) from error
        if command_name != "BRPOP" or not reply:
            return reply
        key, item = reply
        queue = key.decode()
        if fault := fault_of(item):
            log.warning("a message in queue %s is not a ticket and is dropped: %s", queue, fault)
            return None  # as if the queue had been empty
        return key, ticket(queue)


class _TicketChannel(redis_transport.Channel):
    def _get_client(self) -> type[Redis]:
        super()._get_client()  # type: ignore[no-untyped-call]  # checks the version of the client
        return _TicketClient


class _TicketTransport(redis_transport.Transport):
    Channel = _TicketChannel


class TicketConnection(Connection):
    """A connection to a Redis that receives only tickets, whatever the address says about the transport."""

    def get_transport_cls(self) -> type[_TicketTransport]:
        return _TicketTransport


class TicketAMQP(AMQP):  # type: ignore[misc]
    """The part of a Celery application that makes its connections."""

    Connection = TicketConnection
    default_exchange = _EXCHANGE  # Celery gives it to queues whose exchange has no name
