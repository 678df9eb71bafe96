"""Database URLs mean what is written in them, and never show a password."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.errors import BenchcoeError, StoreError, UsageError
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import connect, open_store
from benchcoe_jobs.store.urls import parse, sqlite_url

SECRET = "hunter2"  # noqa: S105 -- not a real password


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"postgresql://ann:p@{SECRET}@db/x", "write %40 for @"),
        (f"postgresql://ann:12/{SECRET}@db/x", "write %40 for @"),
        (f"postgresql://db:5432/x?user=ann@{SECRET}", "write %40 for @"),
        (f"postgresql://ann:{SECRET}@db/x?foo=1", "unknown option 'foo'"),
        (f"postgresql://ann:{SECRET}@db/x?Sslmode=require", "unknown option 'Sslmode'"),
        (f"postgresql://ann:{SECRET}@db:99999/x", "port above 65535"),
        (f"postgresql://ann:{SECRET}@db:5x/x", "cannot be read"),
        (f"mysql://ann:{SECRET}@db/x", "'mysql' is not supported"),
        (f"oracle+x://ann:{SECRET}@db/x", "'oracle' is not supported"),
        ("benchcoe.db", "cannot be read"),
        ("", "cannot be read"),
        ("sqlite://benchcoe.db", "names a host"),
        ("sqlite:///x.db?foo=1", "unknown option 'foo': it may have mode=ro"),
        ("sqlite:///what?.db", "unknown option '.db'"),
        ("sqlite:///x.db?", "write %3F for ?"),
        ("sqlite:///x.db?mode=readonly", "mode=readonly: it must be ro or rw or rwc"),
        ("sqlite:///a%00b.db", "NUL"),
    ],
)
def test_what_is_refused(url: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        connect(url)
    assert reason in str(refused.value)
    assert SECRET not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://ann:{SECRET}@db/x", "postgresql://ann:***@db/x"),
        (f"postgresql://ann:a:{SECRET}@db/x", "postgresql://ann:***@db/x"),
        (f"postgresql://ann:p/{SECRET}@db/x", "postgresql://ann:***@db/x"),
        (f"postgres://ann@db/x?password={SECRET}", "postgres://ann@db/x?password=***"),
        (
            f"postgresql://ann@db/x?sslpassword={SECRET}&sslmode=require",
            "postgresql://ann@db/x?sslpassword=***&sslmode=require",
        ),
        ("postgresql:///x?host=/run&port=5433", "postgresql:///x?host=/run&port=5433"),
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    store = connect(url)
    assert store.shown_url == shown
    store.close()


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30))
def test_no_url_shows_its_password(password: str) -> None:
    secret = f"hunter2{password}"
    for url in (f"postgresql://ann:{secret}@db/x", f"postgresql://ann@db/x?password={secret}"):
        try:
            shown = parse(url).shown
        except BenchcoeError as error:
            shown = str(error)
        assert SECRET not in shown


@pytest.mark.parametrize("name", ["a?b.db", "a b.db", "100%.db", "a#b&c=d.db", "caf\u00e9.db", "a%3Fb.db"])
def test_a_file_of_any_name(name: str, tmp_path: Path) -> None:
    store = connect(sqlite_url(tmp_path / name))
    upgrade(store)
    store.close()
    assert [path.name for path in tmp_path.glob("*.db")] == [name]
    for options in ("?mode=ro", "?mode=rw", "?immutable=1"):
        opened = open_store(sqlite_url(tmp_path / name) + options)
        assert opened.revision() is not None
        opened.close()
    assert {path.name for path in tmp_path.iterdir()} <= {name, f"{name}-wal", f"{name}-shm"}


def test_a_store_that_is_opened_for_reading_is_not_written(tmp_path: Path, sqlite_template: Path) -> None:
    before = sqlite_template.read_bytes()
    store = open_store(f"{sqlite_url(sqlite_template)}?mode=ro")
    with pytest.raises(StoreError, match="cannot be written"), store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM pool")
    with pytest.raises(StoreError, match=r"x\.db\?mode=ro cannot be opened|cannot be written"):
        upgrade(connect(f"sqlite:///{tmp_path}/x.db?mode=ro"))
    store.close()
    assert sqlite_template.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_a_uri_of_sqlite_is_accepted(tmp_path: Path, sqlite_template: Path) -> None:
    store = open_store(f"sqlite:///file:{sqlite_template}?mode=ro&uri=true")
    assert store.address.path == sqlite_template
    assert store.address.is_read_only
    store.close()


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        for attempt in (open_store, lambda url: upgrade(connect(url))):
            with pytest.raises(StoreError, match="it is not a file"):
                attempt(sqlite_url(tmp_path / name))
    with pytest.raises(StoreError, match="it is not a file"):
        open_store("sqlite:////dev/null")


def test_the_wal_of_an_unfinished_process_is_read_in_mode_ro(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(sqlite_template.read_bytes())
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO pool (name, min_coverage) VALUES ('late', 0.95)")
        writer.commit()
        store = open_store(f"{sqlite_url(path)}?mode=ro")
        with store.reading() as connection:
            names = connection.exec_driver_sql("SELECT name FROM pool ORDER BY name").scalars().all()
        store.close()
    assert names == ["all", "late"]
