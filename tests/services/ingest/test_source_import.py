"""Several files in one command: each in a transaction of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs.errors import InputError, StoreBusyError
from benchcoe_jobs.importers.detection import Found, Recognised
from benchcoe_jobs.importers.source import Source
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.source_import import import_found

PATHS = [Path("a.csv"), Path("b.csv"), Path("c.csv")]
FOUND = Found([Recognised(Source(path), "table", "it has columns") for path in PATHS])


def test_a_file_that_is_refused_does_not_stop_the_others() -> None:
    def import_one(path: Path, form: str) -> ImportSummary:
        if path.name == "b.csv":
            raise InputError("b.csv: no row")
        return ImportSummary(path.name, form)

    outcomes = list(import_found(FOUND, import_one))
    assert [(outcome.path, outcome.error is None) for outcome in outcomes] == list(
        zip(PATHS, [True, False, True], strict=True)
    )
    assert [outcome.summary.why for outcome in outcomes if outcome.summary] == ["it has columns"] * 2


def test_a_store_that_is_locked_ends_the_command() -> None:
    def import_one(path: Path, form: str) -> ImportSummary:
        if path.name == "b.csv":
            raise StoreBusyError("locked")
        return ImportSummary(path.name, form)

    outcomes = import_found(FOUND, import_one)
    assert next(outcomes).error is None
    with pytest.raises(StoreBusyError):
        next(outcomes)
