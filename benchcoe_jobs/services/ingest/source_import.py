"""Import what was found under the paths of a command, each file or folder in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchcoe_jobs.errors import BenchcoeError, InputError, MissingError, StoreUnavailableError, UsageError
from benchcoe_jobs.importers.detection import Found
from benchcoe_jobs.services.ingest.import_summary import ImportSummary


class Outcome(NamedTuple):
    """What became of a file or folder: its summary, or the error for which nothing of it was imported."""

    path: Path
    summary: ImportSummary | None
    error: BenchcoeError | None


def import_found(found: Found, import_one: Callable[[Path, str], ImportSummary]) -> Iterator[Outcome]:
    """Import each source by `import_one(path, format)`. One that cannot be imported does not stop the others.

    Raises StoreError, with which no further source can be imported. What was imported before stays.
    """
    for path, error in found.faults:
        yield Outcome(path, None, error)
    for source, form, why in found.recognised:
        try:
            summary = import_one(source.path, form)
        except StoreUnavailableError:
            raise
        except (InputError, UsageError, MissingError) as error:
            yield Outcome(source.path, None, error)
        else:
            summary.why = why
            yield Outcome(source.path, summary, None)
