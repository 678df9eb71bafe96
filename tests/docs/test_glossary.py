"""The glossary of docs/architecture.md against the documents, the tables and the commands."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import benchcoe_jobs.store.job_queue.tables
import benchcoe_jobs.store.results.import_tables
import benchcoe_jobs.store.results.settling
import benchcoe_jobs.store.routing.tables  # noqa: F401  # all four add their tables to Base
from benchcoe_jobs import registry
from benchcoe_jobs.cli.main import COMMANDS
from benchcoe_jobs.domain import Level, Policy, Queue, Split
from benchcoe_jobs.store.tables import Base

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
GLOSSARY = re.split(r"^## ", ARCHITECTURE.partition("\n## Glossary\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
TERMS, _, TABLES = GLOSSARY.partition("\n| table | holds |\n")
ROWS = re.findall(r"^\| ([^`|]+?) \| (.+) \|$", TERMS, re.MULTILINE)[1:]
MEANING = dict(ROWS)

RETIRED = re.compile(r"\b(lots|standings?|deals?|dealt|judged|rejudged|judges|judgements?)\b", re.IGNORECASE)


def uses(term: str) -> re.Pattern[str]:
    """The term in its singular or plural, also as part of a name or over the end of a line."""
    *first, last = re.escape(term).split(r"\ ")
    last = f"{last[:-1]}(?:y|ies)" if last.endswith("y") else f"{last}(?:s|es)?"
    return re.compile(rf"(?<![a-z]){'[ _-]?'.join([*first, last])}(?![a-z])", re.IGNORECASE)


def test_every_term_has_one_definition() -> None:
    assert len(ROWS) > 60
    assert [term for term, n in Counter(term for term, _ in ROWS).items() if n > 1] == []
    assert [term for term, meaning in ROWS if len(meaning) < 20] == []


@pytest.mark.parametrize("term", MEANING)
def test_every_term_is_used(term: str) -> None:
    elsewhere = [page.read_text(encoding="utf-8").replace(GLOSSARY, "") for page in PAGES]
    elsewhere += [path.read_text(encoding="utf-8") for path in (ROOT / "benchcoe_jobs").rglob("*.py")]
    pattern = uses(term)
    assert any(pattern.search(re.sub(r"\s+", " ", text)) for text in elsewhere)


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_every_table_is_a_term_or_explained(table: str) -> None:
    assert table.replace("_", " ") in MEANING or f"`{table}`" in TABLES


def test_every_explained_table_exists() -> None:
    explained = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| ([^|]+) \|", TABLES, re.MULTILINE))))
    assert explained <= set(Base.metadata.tables)
    assert not {name for name in explained if name.replace("_", " ") in MEANING}


@pytest.mark.parametrize(
    ("term", "values"),
    [
        ("job kind", registry.names("jobs")),
        ("queue", [queue.value for queue in Queue]),
        ("split", [split.value for split in Split]),
        ("level", [level.value for level in Level]),
        ("policy", [policy.value for policy in Policy]),
        ("router kind", registry.names("routers")),
        ("engine", [*registry.names("engines"), "recorded"]),
    ],
)
def test_the_values_of_a_term_are_named(term: str, values: list[str]) -> None:
    assert [value for value in values if f"`{value}`" not in MEANING[term]] == []


def test_every_list_of_the_command_line_is_of_a_term() -> None:
    lists = [name for name in COMMANDS if re.fullmatch(r"[a-z]+s", name) and name not in ("status", "results")]
    assert {"experts", "jobs", "routers"} <= set(lists)
    assert [name for name in lists if name.removesuffix("s") not in MEANING] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_retired_words_are_no_terms(page: Path) -> None:
    assert RETIRED.findall(page.read_text(encoding="utf-8")) == []
    assert not RETIRED.search(" ".join(MEANING))
