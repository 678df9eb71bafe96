"""What an importer yields for files that a test writes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Note, Result, SkippedRow
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.source import Source


def imported(form: str, path: Path, **options: Any) -> list[Item]:
    """The items of a file or folder, which the importer must recognise."""
    importer = registry.load("importers", form)
    source = Source(path)
    assert importer.recognise(source), f"{path} is not recognised as {form}"
    return list(importer.read(source, ReadOptions(**options)))


def results(items: Iterable[Item]) -> list[Result]:
    return [item for item in items if isinstance(item, Result)]


def reasons(items: Iterable[Item]) -> list[str]:
    """The reasons of the skipped rows."""
    return [item.reason for item in items if isinstance(item, SkippedRow)]


def notes(items: Iterable[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Note)]


def stated(items: Iterable[Item]) -> list[TaskMean]:
    return [item for item in items if isinstance(item, TaskMean)]


def scores(items: Iterable[Item]) -> dict[str | None, list[float | None]]:
    """The scores of each expert in the order of the file."""
    found: dict[str | None, list[float | None]] = defaultdict(list)
    for item in results(items):
        found[item.expert].append(item.score)
    return dict(found)


def write_json(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
