"""Which subject labels moved, since a date or against another store, and what moved them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.labelling.scope import find_scope
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.labels import label_sets, live_labels
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results import experts, imports, means
from benchcoe_jobs.store.results.means import SubjectMean
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import percent

Labels = Mapping[str, str | None]
"""Subject -> its expert; None if no expert earns the label."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A subject whose label is another expert than before, and what happened to the two experts in between.

    An expert is None if none earned the label, or none was eligible.
    """

    subject: str
    before: str | None
    after: str | None
    causes: list[str]


@dataclass(frozen=True, slots=True)
class Changes:
    """The labels that moved, of `n` subjects. `compared_with` says what they are compared with."""

    compared_with: str
    n: int
    moved: list[Moved]


def changes_since(connection: Connection, scope: Scope, date: datetime, job_rows: Sequence[JobRow]) -> Changes:
    """The labels that differ from those that were frozen last before a date.

    The causes are imports, profiles and retirements of the two experts since these were frozen. Raises UsageError if no
    subject labels of the scope were frozen before the date.
    """
    frozen = label_sets.newest_before(connection, scope, date)
    if frozen is None:
        raise UsageError(
            f"no {Level.SUBJECT} labels of pool {scope.pool.name!r} on {scope.benchmark}, split {scope.split}, were "
            f"frozen before {date:%Y-%m-%d %H:%M}: `benchcoe-jobs labels` shows when labels were"
        )
    events = _events(connection, scope, frozen.created_at, job_rows)
    moved = _moved(frozen.experts, _labels(connection, scope), lambda _, expert: events.get(expert, []))
    when = f"{frozen.created_at:%Y-%m-%d %H:%M} UTC"
    return Changes(f"the labels {frozen.fingerprint[:12]}, frozen on {when}", len(frozen.experts), moved)


def _events(connection: Connection, scope: Scope, since: datetime, job_rows: Sequence[JobRow]) -> dict[str, list[str]]:
    """Expert -> what happened to its scores, or to its place in pools, since a time."""
    found: dict[str, list[str]] = {}
    for row in imports.imports(connection):
        if row.created_at >= since and scope.benchmark in row.benchmarks:
            for name in row.counts.get("scored") or {}:
                found.setdefault(name, []).append(f"{row.name} brought scores of {name} from {row.file}")
    for job in reversed(job_rows):
        if job.kind in ("profile", "profile-until-settled") and job.created_at >= since:
            name = str(job.request["expert"])
            found.setdefault(name, []).append(f"job {job.id} profiled {name}")
    for name, when in experts.retirements(connection).items():
        if when >= since:
            found.setdefault(name, []).append(f"{name} was retired")
    return found


def changes_against(connection: Connection, scope: Scope, other: Store) -> Changes:
    """The labels that differ from those of the same pool, benchmark and split in another store.

    The causes are the differences between the two experts' scores on the subject. Raises UsageError if the other store
    has no such pool or benchmark.
    """
    with other.reading() as other_connection:
        other_scope = find_scope(other_connection, scope.pool.name, scope.benchmark, scope.split)
        before, means_before = _labels(other_connection, other_scope), _means(other_connection, other_scope)
    after, means_after = _labels(connection, scope), _means(connection, scope)

    def causes(subject: str, expert: str) -> list[str]:
        was, now = means_before.get((subject, expert)), means_after.get((subject, expert))
        return [] if was == now else [f"{expert} had {_shown(was)}, and has {_shown(now)}"]

    return Changes(f"the store {other.shown_url}", len(before.keys() | after.keys()), _moved(before, after, causes))


def _labels(connection: Connection, scope: Scope) -> dict[str, str | None]:
    return {label.subject: label.expert for label in live_labels.subject_labels(connection, scope)}


def _means(connection: Connection, scope: Scope) -> dict[tuple[str, str], SubjectMean]:
    rows = means.subject_means(connection, scope.pool.id, scope.benchmark_id, scope.split)
    return {(row.subject, row.expert): row for row in rows}


def _shown(row: SubjectMean | None) -> str:
    return "no score" if row is None else f"{percent(row.mean)} over {row.n or 'an unknown number of'} queries"


def _moved(before: Labels, after: Labels, causes: Callable[[str, str], list[str]]) -> list[Moved]:
    found = []
    for subject in sorted(before.keys() | after.keys()):
        was, now = before.get(subject), after.get(subject)
        if was != now:
            known = [cause for expert in (was, now) if expert is not None for cause in causes(subject, expert)]
            found.append(Moved(subject, was, now, known or ["the members, costs or coverage of the pool changed"]))
    return found
