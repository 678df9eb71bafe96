"""What workers receive from a broker: tickets, and nothing of what other messages say."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable

import pytest
import redis
from kombu import Consumer, Message
from kombu.exceptions import OperationalError
from odd_messages import NO_TICKETS, ODD_TICKETS

from benchcoe_jobs.dispatch import tickets
from benchcoe_jobs.dispatch.celery import MOST_TICKETS, TicketApp, make_tickets
from benchcoe_jobs.dispatch.tickets import QUEUES, TICKET, fault_of, ticket
from benchcoe_jobs.settings import Settings


@pytest.mark.parametrize("item", NO_TICKETS.values(), ids=NO_TICKETS)
def test_what_is_no_ticket_has_a_reason_in_one_short_line(item: bytes) -> None:
    fault = fault_of(item)
    assert fault is not None
    assert "\n" not in fault
    assert len(fault) < 120


@pytest.mark.parametrize("item", ODD_TICKETS.values(), ids=ODD_TICKETS)
def test_a_ticket_is_one_whatever_else_it_says(item: bytes) -> None:
    assert fault_of(item) is None


def test_a_worker_receives_fresh_tickets_only(
    fresh_broker: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    url = fresh_broker()
    app = TicketApp(Settings(broker_url=url))
    received: list[Message] = []

    def keep(found: Message) -> None:
        received.append(found)
        found.ack()

    with redis.Redis.from_url(url) as client, app.connection_for_read() as connection:
        client.lpush("gpu", *NO_TICKETS.values(), *ODD_TICKETS.values())
        app.send_task(TICKET, args=["gpu"], queue="gpu", connection=connection)
        with Consumer(connection, QUEUES, on_message=keep, accept=["json"]), caplog.at_level(logging.WARNING):
            while len(received) < len(ODD_TICKETS) + 1:
                connection.drain_events(timeout=10)
        keys = {key.decode() for key in client.scan_iter()}
    ours = json.loads(ticket("gpu"))
    for found in received:
        assert set(found.headers) == set(ours["headers"])
        assert found.headers["task"] == TICKET
        assert json.loads(found.body) == json.loads(base64.b64decode(ours["body"]))
    assert len({found.headers["id"] for found in received}) == len(received)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "a message in queue gpu is not a ticket and is dropped"
    ] * len(NO_TICKETS)
    assert keys <= {"gpu"}, "nothing is kept in the broker but the queues"


def test_an_error_of_the_broker_is_a_lost_connection_with_its_reason(
    fresh_broker: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets, "_PAUSE_S", 0.0)
    url = fresh_broker()
    with redis.Redis.from_url(url) as client, TicketApp(Settings(broker_url=url)).connection_for_read() as connection:
        client.set("gpu", "no list")
        with (
            Consumer(connection, QUEUES, on_message=lambda message: None),
            pytest.raises(redis.ConnectionError, match="wrong kind"),
        ):
            connection.drain_events(timeout=10)
        with pytest.raises(OperationalError, match="wrong kind"):
            make_tickets(TicketApp(Settings(broker_url=url)), {"gpu": 1})


def test_a_queue_gets_no_more_tickets_than_shards(fresh_broker: Callable[[], str]) -> None:
    url = fresh_broker()
    app = TicketApp(Settings(broker_url=url))
    for waiting in ({"gpu": 3, "cpu": 1}, {"gpu": 2}, {"gpu": 5}, {"train": 9999}):
        make_tickets(app, waiting)
    with redis.Redis.from_url(url) as client:
        assert {queue: client.llen(queue) for queue in ("gpu", "train", "cpu")} == {
            "gpu": 5,
            "train": MOST_TICKETS,
            "cpu": 1,
        }


def test_a_user_of_the_broker_needs_these_rights_only(fresh_broker: Callable[[], str]) -> None:
    """As docs/operations.md says."""
    url = fresh_broker()
    with redis.Redis.from_url(url) as admin:
        try:
            admin.acl_setuser(
                "small",
                enabled=True,
                passwords=["+secret"],
                keys=["gpu", "train", "cpu"],
                commands=[
                    *("-@all", "+@connection", "+@transaction", "+brpop", "+lpush", "+llen"),
                ],
            )
            app = TicketApp(Settings(broker_url=url.replace("redis://", "redis://small:secret@")))
            make_tickets(app, {"gpu": 1})
            received: list[Message] = []
            with app.connection_for_read() as connection, Consumer(connection, QUEUES, on_message=received.append):
                connection.drain_events(timeout=10)
            assert len(received) == 1
        finally:
            admin.acl_deluser("small")
