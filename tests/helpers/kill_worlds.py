"""The installations in which bench/random_kills.py kills commands. Each is made once, by real commands, and copied.

The experts have the engine `fake` of tests/helpers/fake_plugins.py, which answers with a letter that depends only on
the expert and the question, so that two runs have the same results.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import audit_worlds
import fake_plugins
import prompt_files
import psycopg
import tiny_quiz
from installation import CONSOLE, Postgres, Site
from sqlalchemy import make_url

STORES = Path(__file__).parents[1] / "store" / "fixtures"
"""Dumps of stores of earlier releases."""

N_QUESTIONS = 450
N_PROMPTS = 240
N_ROWS = 1600
LEASE_S = 4.0
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
DATABASES = (SQLITE, POSTGRESQL)
PLAN = """
benchmark = "table"
protocols = ["in-distribution"]
seeds = [0, 1]
[pools]
all = []
two = ["ann", "bob"]
[[routers]]
name = "subject"
[[routers]]
name = "query"
level = "query"
"""


def start(site: Site, *words: str, log: str = "commands.log") -> subprocess.Popen[bytes]:
    """Start a command in the folder of a site; its output is added to a file there."""
    with (site.folder / log).open("ab") as output:
        return subprocess.Popen(
            [CONSOLE, *words], cwd=site.folder, env=site.environment(), stdout=output, stderr=output
        )


def run(site: Site, *words: str) -> None:
    """Run a command that must succeed."""
    if (code := start(site, *words).wait()) != 0:
        raise SystemExit(f"{' '.join(words)} ended with {code}:\n{(site.folder / 'commands.log').read_text()}")


# --- what each world has -----------------------------------------------------------------------------------------


def nothing(site: Site) -> None:
    """An empty database."""


def old(site: Site) -> None:
    """A store of release 0.1.0."""
    if site.url.startswith("sqlite"):
        with closing(sqlite3.connect(site.folder / "benchcoe.db")) as file:
            file.executescript((STORES / "store-0.1.0.sqlite.sql").read_text(encoding="utf-8"))
    else:
        with psycopg.connect(site.url) as connection:
            connection.execute((STORES / "store-0.1.0.postgresql.sql").read_bytes())


def upgraded(site: Site) -> None:
    """An empty store."""
    run(site, "init")


def registered(site: Site) -> None:
    """Questions, and two experts that have answered none."""
    run(site, "add-benchmark", "fake", "fake")
    for name in ("ann", "bob"):
        run(site, "add-expert", name, "--engine", "fake", "--model", name, "--no-profile")


def rivalled(site: Site) -> None:
    """One of them has answered the training split."""
    run(site, "profile", "bob", "--split", "train")


def profiled(site: Site) -> None:
    """Both experts have answered the training split."""
    for name in ("ann", "bob"):
        run(site, "profile", name, "--split", "train")


def routed(site: Site) -> None:
    """A router is trained on it."""
    run(site, "train-router", "r")


def submitted(site: Site) -> None:
    """A file of prompts is answered."""
    run(site, "submit", "prompts.jsonl", "--router", "r")


def listed(site: Site) -> None:
    """Five experts whose results are imported, without results."""
    for name in ("ann", "bob", "cat", "dan", "eve"):
        run(site, "add-expert", name, "--engine", "recorded")


def recorded(site: Site) -> None:
    """Their results; the rows of one are in another order."""
    run(site, "import-results", "all", "results.jsonl", "--benchmark", "table")


def _files(folder: Path) -> None:
    """The files that the commands read, the same in every world."""
    tiny_quiz.write_quiz(folder / "fake", N_QUESTIONS)
    lines = [prompt_files.chat(n, f"No {n}: {n % 90} + {n % 7}?", max_tokens=9) for n in range(N_PROMPTS)]
    prompt_files.write(folder / "prompts.jsonl", *lines)
    (folder / "plan.toml").write_text(PLAN)
    rows = audit_worlds.rows(N_ROWS)
    for row in rows:
        row["text"] = f"{row['subject']} {row['text']} " + " ".join(random.Random(row["key"]).choices(WORDS, k=5))
    scores = audit_worlds.correlated(N_ROWS, ann=0.4, bob=0.5, cat=0.45, dan=0.55, eve=0.5)
    order = audit_worlds.gathered(N_ROWS, 4)
    scores["eve"] = [scores["eve"][question] for question in order]
    with (folder / "results.jsonl").open("w") as file:
        for name, values in scores.items():
            file.writelines(
                json.dumps({**row, "expert": name, "score": value}) + "\n"
                for row, value in zip(rows, values, strict=True)
            )


WORDS = ["river", "county", "angle", "sum", "road", "prime", "island", "border", "root", "hill", "square", "coast"]

WORLDS: dict[Callable[[Site], None], Callable[[Site], None] | None] = {
    nothing: None,
    old: None,
    upgraded: nothing,
    registered: upgraded,
    rivalled: registered,
    profiled: registered,
    routed: profiled,
    submitted: routed,
    listed: upgraded,
    recorded: listed,
}
"""World -> the world that it begins with."""


# --- copies ------------------------------------------------------------------------------------------------------


@dataclass
class Worlds:
    """Makes each world once for each database, and copies of it."""

    folder: Path
    postgres: Postgres
    _made: dict[tuple[str, str], Path] = field(default_factory=dict)
    _n: int = 0

    @contextmanager
    def copy(self, world: Callable[[Site], None], database: str, broker_url: str | None = None) -> Iterator[Site]:
        """A site of its own with the content of a world, removed at the end."""
        template = self._template(world, database)
        self._n += 1
        folder = self.folder / f"copy{self._n}"
        shutil.copytree(template, folder)
        site = Site(folder, self._database(folder, database, template), broker_url, LEASE_S)
        try:
            yield site
        finally:
            site.close()
            if database == POSTGRESQL:
                self._sql(f"DROP DATABASE {folder.name} WITH (FORCE)")
            shutil.rmtree(folder)

    def _template(self, world: Callable[[Site], None], database: str) -> Path:
        """The folder of a world; on PostgreSQL its database has the folder's name."""
        key = (world.__name__, database)
        if key not in self._made:
            folder = self.folder / f"{world.__name__}_{database.lower()}"
            before = WORLDS[world]
            parent = self._template(before, database) if before else None
            if parent:
                shutil.copytree(parent, folder)
            else:
                folder.mkdir()
                _files(folder)
            site = Site(folder, self._database(folder, database, parent), None, LEASE_S)
            control(folder)
            world(site)
            site.close()
            (folder / "commands.log").unlink(missing_ok=True)
            self._made[key] = folder
        return self._made[key]

    def _database(self, folder: Path, database: str, source: Path | None) -> str:
        """The URL of the database of a folder, copied from that of another one."""
        if database == SQLITE:
            return f"sqlite:///{folder / 'benchcoe.db'}"
        self._sql(f"CREATE DATABASE {folder.name}" + (f" TEMPLATE {source.name}" if source else ""))
        return make_url(self.postgres.url).set(database=folder.name).render_as_string(hide_password=False)

    def _sql(self, statement: str) -> None:
        with psycopg.connect(self.postgres.url, autocommit=True) as admin:
            admin.execute(statement.encode())


def control(folder: Path, slow_s: float = 0.0) -> None:
    """Name the folder whose files control the engine to this process and its children, and the time of a batch."""
    orders = folder / "orders"
    shutil.rmtree(orders, ignore_errors=True)
    orders.mkdir()
    (orders / "slow").write_text(str(slow_s))
    os.environ[fake_plugins.FOLDER] = str(orders)


def requested() -> Sequence[str]:
    """Every question that an engine was given since `control`."""
    return [question for batch in fake_plugins.batches() for question in batch]
