"""A store that release 0.1.0 made (fixtures/README.md), brought to today's schema and back, on both databases."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import console
import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Connection, inspect, text

from benchcoe_jobs.domain import Queue, ShardState
from benchcoe_jobs.store.job_queue import claims, expired_leases, jobs, leases, unfinished
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Tally
from benchcoe_jobs.store.migrate import alembic_config, upgrade
from benchcoe_jobs.store.session import HEAD_REVISION, Store, connect

FIXTURES = Path(__file__).parent / "fixtures"

Rows = dict[str, list[dict[str, Any]]]
"""Table or view -> its rows as dictionaries, in the order of all their columns."""

NEW_TABLES = {"lot": "shard_group"}
NEW_COLUMNS = {
    "shard_group": {"there": "reused"},
    "shard": {"lot_id": "shard_group_id", "there": "reused"},
    "extraction": {"stage": "rule"},
}
ADDED_COLUMNS = {"evaluation": {"snapshot_id": None}, "decision": {"fell_back": None}}
NEW_REPORT_KEYS = {
    "evaluate": {"stage": "distribution", "asked": "inference"},
    "profile": {"there": "reused"},
    "train-router": {"curve": "history"},
}


@pytest.fixture
def old_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    dump = (FIXTURES / f"store-0.1.0.{dialect}.sql").read_text(encoding="utf-8")
    if dialect == "postgresql":
        url: str = request.getfixturevalue("fresh_postgres")(False)
        with psycopg.connect(url) as connection:
            connection.execute(dump.encode())
        return url
    with closing(sqlite3.connect(tmp_path / "old.db")) as file:
        file.executescript(dump)
    return f"sqlite:///{tmp_path / 'old.db'}"


@pytest.fixture
def old_store(old_url: str) -> Iterator[Store]:
    """The store as 0.1.0 left it."""
    store = connect(old_url)
    yield store
    store.close()


def go_to(store: Store, revision: str) -> None:
    config = alembic_config()
    step = command.downgrade if revision == "0004" else command.upgrade
    with store.writing() as connection:
        config.attributes["connection"] = connection
        step(config, revision)


def rows_of(store: Store, names: Callable[[Any], list[str]]) -> Rows:
    with store.reading() as connection:
        found = {}
        for name in names(inspect(connection)):
            rows = connection.execute(text(f'SELECT * FROM "{name}"')).mappings()
            found[name] = sorted((dict(row) for row in rows), key=lambda row: str(list(row.values())))
    return found


def tables(store: Store) -> Rows:
    found = rows_of(store, lambda inspector: inspector.get_table_names())
    del found["alembic_version"]
    return found


def views(store: Store) -> Rows:
    return rows_of(store, lambda inspector: inspector.get_view_names())


def renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items()}


def with_new_keys(report: Any, keys: Mapping[str, str]) -> Any:
    """A report as the database returns it: a dictionary, or on SQLite its text."""
    if isinstance(report, str):
        for old, new in keys.items():
            report = report.replace(f'"{old}":', f'"{new}":')
        return report
    if isinstance(report, dict):
        return {keys.get(key, key): with_new_keys(value, keys) for key, value in report.items()}
    return [with_new_keys(one, keys) for one in report] if isinstance(report, list) else report


def as_0005(before: Rows) -> Rows:
    """What the rows must be after migration 0005, without use of its code."""
    after: Rows = {"routing_snapshot": []}
    for old, rows in before.items():
        name = NEW_TABLES.get(old, old)
        after[name] = [renamed(row, NEW_COLUMNS.get(name, {})) | ADDED_COLUMNS.get(name, {}) for row in rows]
    for row in after["job"]:
        row["report"] = with_new_keys(row["report"], NEW_REPORT_KEYS.get(row["kind"], {}))
    for row in after["evaluation"]:
        row["report"] = with_new_keys(row["report"], NEW_REPORT_KEYS["evaluate"])
    return after


def in_order(rows: Rows) -> Rows:
    return {name: sorted(of_name, key=lambda row: str(sorted(row.items()))) for name, of_name in rows.items()}


def test_the_fixture_is_a_store_of_0_1_0_with_rows_in_every_table(old_store: Store) -> None:
    assert old_store.revision() == "0004"
    assert [name for name, rows in tables(old_store).items() if not rows] == []
    reports = [str(row["report"]) for row in tables(old_store)["job"]]
    for key in ("stage", "there", "curve"):
        assert any(f"'{key}'" in report or f'"{key}"' in report for report in reports), key


def test_every_value_is_carried_over(old_store: Store) -> None:
    before = tables(old_store)
    go_to(old_store, "0005")
    after = tables(old_store)
    assert in_order(after) == in_order(as_0005(before))
    assert not any(f'"{key}"' in str(row["report"]) for row in after["job"] for key in ("there", "stage"))


def test_every_label_is_the_same(old_store: Store) -> None:
    before = views(old_store)
    go_to(old_store, "0005")
    after = views(old_store)
    beaten = after.pop("expert_beaten_by_best")
    assert {row["expert_id"] for row in beaten} == {row["expert_id"] for row in after["expert_rank"]}
    expected = {name: [renamed(row, {"nobody_right": "all_wrong"}) for row in rows] for name, rows in before.items()}
    assert in_order(after) == in_order(expected)
    assert all(expected[f"{level}_label"] for level in ("subject", "query"))


def test_down_and_up_again_loses_nothing(old_store: Store) -> None:
    before = tables(old_store), views(old_store), schema(old_store)
    go_to(old_store, "0005")
    after = tables(old_store), views(old_store), schema(old_store)
    go_to(old_store, "0004")
    assert (tables(old_store), views(old_store), schema(old_store)) == before
    go_to(old_store, "0005")
    assert (tables(old_store), views(old_store), schema(old_store)) == after


def test_the_schema_is_that_of_a_new_store(old_store: Store, store: Store) -> None:
    assert upgrade(old_store) == "0004"
    assert old_store.revision() == HEAD_REVISION
    assert schema(old_store) == schema(store)


def schema(store: Store) -> set[tuple[object, ...]]:
    """Columns, constraints, indexes and sequences, with their names if the database uses them."""
    with store.reading() as connection:
        return _sqlite_schema(connection) if store.is_sqlite else _postgresql_schema(connection)


def _postgresql_schema(connection: Connection) -> set[tuple[object, ...]]:
    # PostgreSQL 18 lists NOT NULL as constraints, whose names do not follow a renamed table: the columns have them.
    return {
        (number, *map(_normal, row))
        for number, query in enumerate(
            (
                "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name, "
                "RANK() OVER (PARTITION BY table_name ORDER BY ordinal_position) "
                "FROM information_schema.columns WHERE table_schema = 'public'",
                "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
                "SELECT tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'",
                "SELECT s.relname::text, t.relname::text, d.refobjsubid FROM pg_class s "
                "JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 "
                "JOIN pg_class t ON t.oid = d.refobjid WHERE s.relkind = 'S'",
            )
        )
        for row in connection.execute(text(query))
    }


def _normal(value: object) -> object:
    """A definition without the brackets and casts in which PostgreSQL shows a CHECK that was loaded from a dump."""
    if isinstance(value, str) and value.startswith("CHECK"):
        return re.sub(r"[()\[\]]|::(text|character varying)", "", value)
    return value


def _sqlite_schema(connection: Connection) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    for name, kind, definition in connection.execute(
        text("SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'index') AND name NOT LIKE 'sqlite_%'")
    ).all():
        if kind == "index":
            found.add((name, " ".join(definition.replace('"', "").split())))
            continue
        found.add((name, "WITHOUT ROWID" in definition))
        for pragma in ("table_info", "foreign_key_list"):
            for row in connection.execute(text(f'PRAGMA {pragma}("{name}")')):
                # Without the running number of a foreign key.
                found.add((name, pragma, *(row if pragma == "table_info" else row[2:])))
        for row in connection.execute(text(f'PRAGMA index_list("{name}")')).mappings().all():
            columns = connection.execute(text(f'PRAGMA index_info("{row["name"]}")')).all()
            shown = "" if row["name"].startswith("sqlite_autoindex") else row["name"]
            found.add((name, shown, row["unique"], row["partial"], tuple(column[2] for column in columns)))
    return found


def test_open_jobs_go_on(old_store: Store) -> None:
    upgrade(old_store)
    with old_store.reading() as connection:
        open_jobs = {job.id: job.kind for job in jobs.list_jobs(connection, only_open=True)}
        [running] = expired_leases.running_owners(connection)
        waiting = unfinished.waiting_shards(connection, 100)
    assert open_jobs == {17: "batch", 19: "profile", 20: "train-router", 21: "batch"}
    assert waiting == {"gpu": 1, "train": 1, "cpu": 3}

    with old_store.writing() as connection:
        expired_leases.reclaim_stalled(connection, [running])  # the shard that a killed worker left
        assert unfinished.waiting_shards(connection, 100) == waiting | {"cpu": 4}
        claim = claims.claim(connection, "a worker", ["train"], lease_s=60)
        assert claim is not None
        assert (claim.job_id, claim.kind, claim.request["router"]) == (20, "train-router", "later")
        leases.record(connection, claim, leases.hold(connection, claim), Tally(answered=1), lease_s=60)
        assert leases.finish(connection, claim, ShardState.DONE), "the shard group is over"
    with old_store.reading() as connection:
        [group] = jobs.shard_groups(connection, [20])
    assert (group.done, group.answered, group.waiting, group.running) == (1, 1, 0, 0)


def test_new_rows_get_new_ids(old_store: Store) -> None:
    """On PostgreSQL the sequence is renamed with its table."""
    last = max(row["id"] for row in tables(old_store)["lot"])
    upgrade(old_store)
    with old_store.writing() as connection:
        jobs.add_shard_groups(connection, 20, 1, [NewShardGroup(Queue.CPU, [({}, 2), ({}, 3)])])
    rows = tables(old_store)
    [group] = [row for row in rows["shard_group"] if row["id"] > last]
    assert (group["id"], group["waiting"], group["items"], group["reused"]) == (last + 1, 2, 5, 0)
    assert sum(row["shard_group_id"] == group["id"] for row in rows["shard"]) == 2


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_commands_read_it(old_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", old_url)
    refused = console.run("jobs", capsys)
    assert (refused.code, "run `benchcoe-jobs init` to upgrade it" in refused.err) == (1, True)
    assert console.run("init", capsys).code == 0
    for line, code in {
        "experts": 0,
        "pools": 0,
        "labels": 0,
        "routers": 0,
        "jobs": 0,
        "status 18": 0,
        "audit": 0,  # four questions of mmstar have one text, but different pictures
    }.items():
        outcome = console.run(f"{line} --json", capsys)
        assert outcome.code == code, (line, outcome.err)
        assert outcome.json, line


def test_a_report_on_chosen_experts_is_renamed_too(old_store: Store) -> None:
    """The fixture has none, so an evaluation and its job get one."""
    evaluation = sa.table("evaluation", sa.column("report", sa.JSON))
    job = sa.table("job", sa.column("kind"), sa.column("report", sa.JSON))
    old = {"stage": "naive", "asked": {"queries": 3, "errors": 0}, "experts": [{"expert": "fern", "n": 3}]}
    new = {"distribution": "naive", "inference": {"queries": 3, "errors": 0}, "experts": [{"expert": "fern", "n": 3}]}

    def reports() -> list[dict[str, Any]]:
        with old_store.reading() as connection:
            of_jobs = connection.scalars(sa.select(job.c.report).where(job.c.kind == "evaluate")).all()
            return [*of_jobs, *connection.scalars(sa.select(evaluation.c.report))]

    with old_store.writing() as connection:
        connection.execute(sa.update(evaluation).values(report=old))
        connection.execute(sa.update(job).where(job.c.kind == "evaluate").values(report=old))
    assert old in reports()
    go_to(old_store, "0005")
    assert all(report == new for report in reports())
    go_to(old_store, "0004")
    assert all(report == old for report in reports())
