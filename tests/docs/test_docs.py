"""The documents against the code: what they name exists, and what exists is named."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table

import benchcoe_jobs.store.job_queue.tables
import benchcoe_jobs.store.results.checks
import benchcoe_jobs.store.results.import_tables
import benchcoe_jobs.store.results.settling
import benchcoe_jobs.store.routing.tables  # noqa: F401  # all five add their tables to Base
from benchcoe_jobs.store.session import Store, connect
from benchcoe_jobs.store.tables import Base
from benchcoe_jobs.store.views import VIEWS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
STORE = (DOCS / "store.md").read_text(encoding="utf-8")
PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "bench" / "README.md"]

TABLES = {**Base.metadata.tables, **VIEWS.tables}


def script(name: str) -> Any:
    """A script of the folder docs, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_reference_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # must play no part
    make_cli = script("make_cli")
    assert make_cli.TARGET.read_text(encoding="utf-8") == make_cli.reference(), "run: python docs/make_cli.py"


def test_every_table_and_view_has_its_section() -> None:
    tables, _, rest = STORE.partition("\n## Views\n")
    views = rest.partition("\n## Examples\n")[0]
    assert sorted(re.findall(r"^### `(\w+)`$", tables, re.MULTILINE)) == sorted(Base.metadata.tables)
    assert sorted(re.findall(r"^### `(\w+)`$", views, re.MULTILINE)) == sorted(VIEWS.tables)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_columns_are_documented_in_their_order(table: Table) -> None:
    section = re.split(r"^##", STORE.partition(f"\n### `{table.name}`\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    assert [name for name, _ in rows] == list(table.c.keys())
    if table.metadata is Base.metadata:
        assert [name for name, kind in rows if "or null" in kind] == [c.name for c in table.c if c.nullable]
        assert [name for name, kind in rows if kind.endswith("key")] == [c.name for c in table.primary_key]


def sql_of(page: Path) -> list[str]:
    return re.findall(r"^```sql\n(.+?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_queries_run(store: Store) -> None:
    examples = sql_of(DOCS / "store.md")
    assert len(examples) > 5
    with store.reading() as connection:
        for example in examples:
            if "dbstat" not in example:  # a module of SQLite that not every Python has
                connection.exec_driver_sql(example).fetchall()


def test_the_queries_for_monitoring_run(fresh_postgres: Callable[[bool], str]) -> None:
    [page] = [example for example in sql_of(DOCS / "operations.md") if "FROM shard_group" in example]
    queries = [query for query in page.split(";") if query.strip()]
    assert len(queries) > 5
    store = connect(fresh_postgres(True))
    with store.reading() as connection:
        for query in queries:
            connection.exec_driver_sql(query).fetchall()
    store.close()


def test_the_comments_of_postgresql_are_current() -> None:
    make_comments = script("make_comments")
    assert make_comments.TARGET.read_text(encoding="utf-8") == make_comments.comments(), (
        "run: python docs/make_comments.py"
    )
    commented = set(re.findall(r"^COMMENT ON (?:TABLE|VIEW) (\w+)", make_comments.comments(), re.MULTILINE))
    assert commented == set(TABLES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}, link
    for named in re.findall(r"\b(?:bench|benchcoe_jobs|cli|docs|migrations|tests)/[\w/]+\.py\b", text):
        assert (ROOT / named).is_file(), named


def test_the_package_list_is_what_is_on_disk() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {
        file.parent.relative_to(ROOT)
        for top in ("benchcoe_jobs", "cli", "workers", "migrations")
        for suffix in ("py", "sql")
        for file in (ROOT / top).rglob(f"*.{suffix}")
    }
    mapped = {where: name for name, where in setuptools["package-dir"].items()}
    names = {mapped.get(str(folder), ".".join(folder.parts)) for folder in folders}
    assert sorted(names) == sorted(setuptools["packages"])
    assert set(mapped) <= {str(folder) for folder in folders}


def test_every_decision_has_its_own_number() -> None:
    numbers = [path.name[:4] for path in (DOCS / "decisions").iterdir()]
    assert len(numbers) == len(set(numbers))
    for path in (DOCS / "decisions").iterdir():
        assert path.read_text(encoding="utf-8").startswith(f"# {path.name[:4]}: ")
