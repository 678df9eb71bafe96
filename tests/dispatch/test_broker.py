"""Which addresses of a broker are accepted: what kombu would connect to decides, not what the text looks like."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from benchcoe_jobs.dispatch.broker import broker_url, fault_of
from benchcoe_jobs.dispatch.celery import TicketApp
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.masking import masked_url
from benchcoe_jobs.settings import Settings

SAFE = [
    "redis://127.0.0.1:6379/0",
    "redis://localhost",
    "redis://[::1]:6380/15",
    "redis://:word@db.example/2",
    "redis://user:word@10.0.0.7:6379/0",
    "rediss://:word@db.example/0?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
    "redis+socket:///run/redis.sock",
    "redis+socket:///run/redis.sock?virtual_host=3",
    "redis://127.0.0.1/0;redis://:word@db.example/0",
]

UNSAFE = [
    "redis://db.example/0",
    "redis://127.0.0.1.example/0",
    "redis://user@db.example/0",
    "redis://127.0.0.1/0;redis://db.example/0",
    "redis://:word@db.example/0;redis://db.example/0",
    "redis://db.example/0;redis://127.0.0.1/0",
    "redis://127.0.0.1/0;redis://%64b.example/0",
]

UNREADABLE = [
    "",
    "amqp://127.0.0.1",
    "redis://",
    "redis:///0",
    "redis://127.0.0.1/db",
    "redis://127.0.0.1:port/0",
    "redis://127.0.0.1:99999/0",
    "redis+socket://",
    "redis+socket:///",
    "redis+socket://db.example/run/redis.sock",
    "redis+tcp://db.example/0",
    "redis+redis://db.example/0",
    "redis://127.0.0.1/0;",
    "redis://127.0.0.1/0; redis://db.example/0",
    "redis://127.0.0.1/0;db.example",
    "redis://127.0.0.1/0;amqp://db.example",
    "redis://127.0.0.1/0;rediss://:word@db.example/0",
    "redis+socket:///run/redis.sock;redis://127.0.0.1/0",
    "redis://127.0.0.1/0?hostname=db.example",
    "redis://127.0.0.1/0?alternates=redis://db.example",
    "redis://127.0.0.1/0?credential_provider=some.module.Class",
    "redis://127.0.0.1/0?transport=amqp",
    "redis+socket:///run/redis.sock?credential_provider=some.module.Class",
    "redis+socket:///run/redis.sock?host=db.example",
    "rediss://127.0.0.1/0?ssl_cert_reqs=perhaps",
    "sentinel://127.0.0.1/0",
    "tests.dispatch:Transport+redis://127.0.0.1/0",
]


@pytest.mark.parametrize("url", SAFE)
def test_a_broker_here_or_with_a_password_is_accepted(url: str) -> None:
    assert broker_url(Settings(broker_url=url)) == url


@pytest.mark.parametrize("url", UNSAFE)
def test_a_broker_elsewhere_without_a_password_is_refused_also_in_a_list(url: str) -> None:
    with pytest.raises(UsageError, match="is on another machine and requires no password"):
        broker_url(Settings(broker_url=url))
    assert broker_url(Settings(broker_url=url, open_broker=True)) == url


@pytest.mark.parametrize("url", UNREADABLE)
def test_an_address_that_kombu_could_read_as_something_else_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="broker") as caught:
        broker_url(Settings(broker_url=url, open_broker=True))
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_variables_of_celery_do_not_change_where_it_connects(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "redis://db.example:1/7")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://db.example:1/7")
    monkeypatch.setenv("CELERY_LOADER", "a_module_that_does_not_exist")
    app = TicketApp(Settings(broker_url="redis://127.0.0.1:6379/0"))
    for connection in (app.connection_for_read(), app.connection_for_write(), app.connection(), app.pool.connection):
        assert connection.hostname == "127.0.0.1"
    assert app.backend.as_uri() == "disabled://"
    assert type(app.loader).__module__.startswith("benchcoe_jobs.")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://:word@db.example/0", ssl.CERT_REQUIRED),
        ("rediss://:word@db.example/0?ssl_cert_reqs=none", ssl.CERT_NONE),
    ],
)
def test_certificates_are_checked_unless_the_address_says_otherwise(url: str, expected: ssl.VerifyMode) -> None:
    assert TicketApp(Settings(broker_url=url)).connection_for_write().ssl["ssl_cert_reqs"] == expected


def test_passwords_of_a_list_are_masked() -> None:
    shown = masked_url("redis://:first-word@a/0;redis://u:second-word@b/0")
    assert "word" not in shown
    assert shown.startswith("redis://")


def test_a_broker_answers_or_the_reason_is_one_line(fresh_broker: Callable[[], str], tmp_path: Path) -> None:
    assert fault_of(Settings(broker_url=fresh_broker())) is None
    fault = fault_of(Settings(broker_url=f"redis+socket://{tmp_path}/none.sock"))
    assert fault is not None
    assert "does not answer" in fault
    assert "\n" not in fault
