"""Migrations on both databases: nothing to add, up and down, one head, the newest view texts."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import benchcoe_jobs.store.job_queue.tables
import benchcoe_jobs.store.results.checks
import benchcoe_jobs.store.results.import_tables
import benchcoe_jobs.store.results.settling
import benchcoe_jobs.store.routing.tables  # noqa: F401  # all five add their tables to Base
from benchcoe_jobs.errors import StoreError
from benchcoe_jobs.store import session
from benchcoe_jobs.store.migrate import alembic_config, upgrade
from benchcoe_jobs.store.session import Store, connect, open_store
from benchcoe_jobs.store.tables import Base
from benchcoe_jobs.store.views import VIEWS


@pytest.fixture
def empty_store(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = request.getfixturevalue("fresh_postgres")(False) if dialect == "postgresql" else f"sqlite:///{tmp_path}/x.db"
    store = connect(url)
    yield store
    store.close()


def newest_views() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(files("benchcoe_jobs.migrations.views").iterdir(), key=lambda file: file.name):
        if match := re.fullmatch(r"(\w+)_v\d+\.sql", file.name):
            found[match[1]] = file.read_text(encoding="utf-8")
    return found


def migrate(store: Store, revision: str) -> None:
    config = alembic_config()
    step = command.downgrade if revision == "base" else command.upgrade
    with store.writing() as connection:
        config.attributes["connection"] = connection
        step(config, revision)


def test_head_shows_no_difference_to_the_tables(store: Store) -> None:
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, Base.metadata)
        # The comments are those of docs/store.md, and are not repeated in the classes of the tables.
        assert [change for change in found if "comment" not in str(change)] == []


def test_up_and_down_staircase(empty_store: Store) -> None:
    revisions = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    for revision in reversed(revisions):
        migrate(empty_store, revision)
    migrate(empty_store, "base")
    with empty_store.reading() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
        assert inspect(connection).get_view_names() == []
    migrate(empty_store, "head")
    assert empty_store.revision() == session.HEAD_REVISION


def test_there_is_one_head_and_the_code_names_it() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [session.HEAD_REVISION]


def test_deployed_views_are_the_newest_files(store: Store, dialect: str) -> None:
    with store.writing() as connection:
        assert set(inspect(connection).get_view_names()) == set(newest_views())
        if dialect == "sqlite":
            deployed = dict(connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'view'")).all())  # type: ignore[arg-type]
            for name, wanted in newest_views().items():
                assert deployed[name] == wanted[wanted.index("CREATE VIEW") :].strip(), name
        else:  # PostgreSQL keeps a parsed form: compare it with that of the file, made under another name
            for name, wanted in newest_views().items():
                connection.execute(text(wanted.replace(f"CREATE VIEW {name} ", "CREATE VIEW probe ")))
                forms = connection.execute(
                    text("SELECT pg_get_viewdef(CAST(:a AS regclass)), pg_get_viewdef('probe'::regclass)"), {"a": name}
                ).one()
                assert forms[0] == forms[1], name
                connection.execute(text("DROP VIEW probe"))


def test_declared_view_columns_are_the_deployed_ones(store: Store) -> None:
    with store.reading() as connection:
        for name, declared in VIEWS.tables.items():
            assert [column["name"] for column in inspect(connection).get_columns(name)] == list(declared.c.keys()), name
        assert set(VIEWS.tables) == set(newest_views())


def test_init_is_safe_to_repeat(empty_store: Store) -> None:
    assert empty_store.revision() is None
    assert upgrade(empty_store) is None
    assert upgrade(empty_store) == session.HEAD_REVISION


def test_processes_that_create_a_store_together(empty_store: Store, request: pytest.FixtureRequest) -> None:
    url = empty_store.engine.url.render_as_string(hide_password=False)
    stores = [connect(url) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        found = list(pool.map(upgrade, stores))
    for store in stores:
        store.close()
    assert sorted(found, key=str) == [session.HEAD_REVISION] * 3 + [None]
    with empty_store.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [(session.HEAD_REVISION,)]


def test_connections_that_open_a_new_file_together(tmp_path: Path) -> None:
    def write(store: Store) -> None:
        with store.writing():
            pass

    for number in range(60):  # one round in twenty fails if SQLite's answer "locked" is taken as it is
        stores = [connect(f"sqlite:///{tmp_path}/{number}.db") for _ in range(8)]
        with ThreadPoolExecutor(len(stores)) as pool:
            list(pool.map(write, stores))
        for store in stores:
            store.close()


def test_a_new_file_is_private(tmp_path: Path) -> None:
    store = connect(f"sqlite:///{tmp_path}/x.db")
    upgrade(store)
    with store.writing() as connection:
        connection.execute(text("INSERT INTO pool (name, min_coverage) VALUES ('a', 0.5)"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    store.close()
    assert modes == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    path.chmod(0o640)
    upgrade(connect(f"sqlite:///{path}"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_postgresql_has_the_comments_of_the_documents(fresh_postgres: Callable[[bool], str]) -> None:
    store = connect(fresh_postgres(True))
    with store.reading() as connection:
        inspector = inspect(connection)
        assert inspector.get_table_comment("score")["text"].startswith("The score of an expert on a query.")
        comments = {column["name"]: column["comment"] for column in inspector.get_columns("expert")}
        about = "SELECT obj_description('subject_label'::regclass)"
        assert connection.scalar(text(about)).startswith("The best expert of every subject")
    store.close()
    assert comments["revision"] == "of the model"
    assert comments["cost"] == "of one query, in any unit that all experts share; unknown costs sort last"


@pytest.mark.parametrize("revision", ["ae1027a6acf", "9999"])
def test_init_refuses_a_database_of_another_program(store: Store, revision: str) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    with pytest.raises(StoreError, match=r"that of another program|newer than this program's"):
        upgrade(store)


def test_a_store_of_another_version_is_refused(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HEAD_REVISION", "0999")
    with pytest.raises(StoreError, match="run `benchcoe-jobs init` to upgrade it"):
        open_store(store_url)
    monkeypatch.setattr(session, "HEAD_REVISION", "0000")
    with pytest.raises(StoreError, match="upgrade benchcoe-jobs"):
        open_store(store_url)


def test_a_missing_store_is_not_created_by_looking(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run `benchcoe-jobs init` first"):
        open_store(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []
