"""No secret is shown, stored or logged, wherever it occurs and in whatever shape."""

from __future__ import annotations

import html
import json
import logging
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchcoe_jobs import masking
from benchcoe_jobs.characters import one_line
from benchcoe_jobs.engines.errors import engine_error
from benchcoe_jobs.masking import MASK, first_line, masked, masked_url, names_secret, remember, secrets_in_url
from benchcoe_jobs.safe_logging import SafeFormatter
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.database_errors import explained


@contextmanager
def knowing(*secrets: str) -> Iterator[None]:
    """Within the block, exactly these secrets are known."""
    before = set(masking._known)
    masking._known.clear()
    remember(*secrets)
    try:
        yield
    finally:
        masking._known.clear()
        masking._known.update(before)


# --- the shapes that a known secret has in the text of a library or a server ---------------------------------------

SHAPES: dict[str, Callable[[str], str]] = {
    "alone": lambda secret: secret,
    "in quotes": lambda secret: f"Incorrect API key provided: '{secret}'.",
    "at the end of a sentence": lambda secret: f"the key is {secret}.",
    "of Python": lambda secret: repr({"key": secret}),
    "of Python, beside both quotes": lambda secret: repr(f'it\'s "{secret}"'),
    "of JSON": lambda secret: json.dumps({"error": {"message": f"bad key {secret}"}}),
    "of JSON in JSON": lambda secret: json.dumps(json.dumps([secret])),
    "of HTML": lambda secret: f"<p>{html.escape(secret)}</p>",
    "in a URL": lambda secret: f"postgresql://ann:{quote(secret, safe='')}@db/x",
    "in a URL, in lower case": lambda secret: f"see ?x={quote(secret, safe='').replace('%2F', '%2f')} there",
    "in a form": lambda secret: f"x={quote_plus(secret)}",
    "in a connection string": lambda secret: f"host=db password={secret} dbname=x",
    "in a header": lambda secret: f"Authorization: Bearer {secret}",
}

# --- the places where such a text is shown, stored or logged --------------------------------------------------------


def in_a_log_line(text: str) -> str:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed: %s", (text,), None)
    return SafeFormatter().format(record)


def in_a_logged_traceback(text: str) -> str:
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    return SafeFormatter(logging.Formatter("%(levelname)s %(message)s")).format(record)


PLACES: dict[str, Callable[[str], str]] = {
    "a message": masked,
    "an error that a job stores": lambda text: one_line(masked(f"unexpected ValueError: {text}")),
    "an error of an engine": lambda text: str(engine_error(RuntimeError(text))),
    "the first line of an endpoint's answer": lambda text: first_line(Exception(text)),
    "an answer that is cut": lambda text: first_line(Exception("x" * 480 + text)),
    "an error of a database": lambda text: str(explained(_sqlite_error(text), "x.db")),
    "a log line": in_a_log_line,
    "a logged traceback": in_a_logged_traceback,
}


def _sqlite_error(text: str) -> Exception:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=40)


@pytest.mark.parametrize("place", PLACES)
@given(secret=SECRETS, shape=st.sampled_from(list(SHAPES)))
@example("ends-with-dots...", "at the end of a sentence")
@example("quotes'and\"both", "of Python, beside both quotes")
@example("back\\slash\\n", "of JSON in JSON")
@example("a/b+c=d==", "in a URL, in lower case")
@example("p@ss:w/rd?#%", "in a URL")
def test_a_known_secret_is_never_shown(place: str, secret: str, shape: str) -> None:
    with knowing(secret):
        shown = PLACES[place](SHAPES[shape](secret))
        context = PLACES[place](SHAPES[shape](""))
    parts = {secret[start : start + 6] for start in range(len(secret) - 5)}
    assert not [part for part in parts if part in shown and part not in context and part not in MASK * 9]


@given(SECRETS)
def test_masking_a_masked_text_changes_nothing(secret: str) -> None:
    with knowing(secret):
        once = masked(f"a {secret} b password={secret} {SHAPES['in a URL'](secret)}")
        assert masked(once) == once


# --- shapes of secrets that this process does not know --------------------------------------------------------------

IN_URLS = st.text(st.sampled_from("abcXYZ0189-._~!$&*+,;=:@/?%"), min_size=3, max_size=30)


@given(IN_URLS, st.sampled_from(["postgresql", "redis", "rediss", "sentinel", "https", "amqp", "postgresql+psycopg"]))
def test_a_password_in_a_url_is_masked_however_it_is_written(password: str, scheme: str) -> None:
    with knowing():
        for shown in (
            masked_url(f"{scheme}://ann:{password}@host:6379/0"),
            masked(f"cannot connect to {scheme}://ann:{password}@host:6379/0 (refused)"),
        ):
            assert f"{scheme}://ann:{MASK}@host:6379/0" in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("redis://hunter2@h:6379/0", "redis://***@h:6379/0"),
        ("redis://h:6379/0?password=hunter2", "redis://h:6379/0?password=***"),
        ("redis://h/0?x=1&PASSWORD=hunter2&y=2", "redis://h/0?x=1&PASSWORD=***&y=2"),
        ("redis://h/0?pass%77ord=hunter2", "redis://h/0?pass%77ord=***"),
        ("redis://:a@h1/0;redis://:hunter2@h2/0", "redis://:***@h2/0"),
        ("postgresql://ann:p@hunter2@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://ann:12/hunter2?#@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://ann@db/x?sslpassword=hunter2", "postgresql://ann@db/x?sslpassword=***"),
        ("postgresql://ann@db/x?scram_client_key=hunter2=", "postgresql://ann@db/x?scram_client_key=***"),
        ("postgresql://ann@db/x", "postgresql://ann@db/x"),
        ("https://hunter2@host/v1", "https://***@host/v1"),
        ("https://host/v1/models/claude@20240101", "https://host/v1/models/claude@20240101"),
        ("sqlite:///benchcoe.db", "sqlite:///benchcoe.db"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    with knowing():
        assert masked_url(url) == shown
        assert "hunter2" not in masked(f"the address {url} is wrong")


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "host=db password = 'hunter2 x' user=ann",
        '{"api_key": "hunter2"}',
        "{'OPENAI_API_KEY': 'hunter2'}",
        "my_secret=hunter2&x=1",
        "access_token=hunter2",
        "Authorization: Basic hunter2==",
        "authorization=Bearer hunter2",
        "sent header Bearer hunter2-and-more",
        "invalid key sk-proj-hunter2hunter2hunter2",
        "token hf_hunter2hunter2hunter2 is expired",
    ],
)
def test_assignments_and_headers(text: str) -> None:
    with knowing():
        assert "hunter2" not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 5, prompt_tokens=12, tokens=3",
        'FATAL: password authentication failed for user "ann"',
        "the environment variable OPENAI_API_KEY is not set",
        "a user and a password: in an option, write %40",
        "unexpected token: ] at 5",
        "see https://host/help or write to ann@host",
        "benchcoe-jobs experts",
    ],
)
def test_texts_without_secrets_stay(text: str) -> None:
    with knowing():
        assert masked(text) == text


# --- what a process knows ---------------------------------------------------------------------------------------------


def test_settings_make_their_passwords_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHCOE_BROKER_URL", "redis://:br%2Fker-pw@h/0")
    with knowing():
        settings = Settings.load(database_url="postgresql://ann:data-pw@db/x?sslpassword=key-pw")
        monkeypatch.delenv("BENCHCOE_BROKER_URL")
        assert masked("data-pw, key-pw, br%2Fker-pw, br/ker-pw, ann, db") == "***, ***, ***, ***, ann, db"
    assert "data-pw" not in repr(settings)
    assert "br%2Fker-pw" not in repr(settings)


def test_variables_of_the_environment_whose_names_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANY_API_KEY", "first-secret")
    monkeypatch.setenv("PGPASSWORD", "second-secret")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://:third-secret@h")
    monkeypatch.setenv("PWD", "/home/ann")
    monkeypatch.setenv("USE_TOKEN", "true")
    with knowing():
        text = "first-secret second-secret third-secret /home/ann true"
        assert masked(text) == "*** *** *** /home/ann true"


def test_a_password_that_is_also_a_name_does_not_mask_the_name() -> None:
    assert list(secrets_in_url("postgresql://benchcoe:benchcoe@db/benchcoe")) == []
    assert list(secrets_in_url("sqlite:///a:b@c.db")) == []
    assert not names_secret("application_name")
    assert names_secret("pass%77ord")


@pytest.mark.parametrize("part", ["a", "sk-", "password", 'password="', "://@", ";", "?a", "x.y-", "bearer "])
def test_long_texts_take_no_longer_than_their_length(part: str) -> None:
    """A pattern that begins again at every character would take minutes here."""
    with knowing():
        assert "hunter2" not in masked(part * 20_000 + " password=hunter2 ")
