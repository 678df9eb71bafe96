"""Print what imports did: one summary for each file or folder, what was not imported, and the next step."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchcoe_jobs.errors import InputError, UnfinishedError
from benchcoe_jobs.wording import counted

from .answer_updates import print_update
from .command import Session
from .output import echo, echo_error

if TYPE_CHECKING:
    from benchcoe_jobs.services.ingest.import_summary import ImportSummary
    from benchcoe_jobs.services.ingest.source_import import Outcome

MAX_SKIPPED = 10
"""Reasons that are shown, and rows for each of them."""


def show_summaries(session: Session, summaries: Sequence[ImportSummary], not_read: Sequence[Path]) -> None:
    """Print the result of each import; in JSON their sum as well, and the files of no known format."""
    from benchcoe_jobs.services.ingest.import_summary import ImportSummary

    if not summaries:
        return
    if not session.as_json:
        for summary in summaries:
            _print_summary(summary)
        return
    total = summaries[0]
    if len(summaries) > 1:
        total = ImportSummary(f"{len(summaries)} files")
        for summary in summaries:
            total.add(summary)
    sources = [{**one.as_json(), "skipped": len(one.skipped)} for one in summaries]
    session.show({**total.as_json(), "sources": sources, "not_read": [str(path) for path in not_read]}, lambda: None)


def require_all(outcomes: Sequence[Outcome]) -> None:
    """Raise the error of a source that was not imported; an UnfinishedError if others were."""
    errors = list(dict.fromkeys(str(outcome.error) for outcome in outcomes if outcome.error))
    failed = [outcome for outcome in outcomes if outcome.error]
    if not failed:
        return
    if len(errors) == 1 and len(failed) == len(outcomes) and failed[0].error:
        raise failed[0].error
    for error in errors:
        echo_error(error)
    names = ", ".join(outcome.path.name for outcome in failed)
    if len(failed) == len(outcomes):
        raise InputError(f"none of {len(outcomes)} files was imported: {names}")
    raise UnfinishedError(f"{len(failed)} of {len(outcomes)} files were not imported: {names}")


def next_step(summaries: Sequence[ImportSummary]) -> str | None:
    """The command that makes use of the results of several experts; None after those of one."""
    experts = {name for summary in summaries for name in summary.scored}
    names = list(dict.fromkeys(name for summary in summaries for name in summary.benchmarks))
    if len(experts) < 2 or not names:
        return None
    benchmark = f" --benchmark {shlex.quote(names[0])}"
    return (
        f"benchcoe-jobs build-labels --level subject{benchmark}, then benchcoe-jobs train-router by-subject --level "
        f"subject{benchmark}"
    )


def show_summary(session: Session, summary: ImportSummary) -> None:
    """Print the result of an import: counts, extraction rules, and the skipped rows."""
    session.show(summary.as_json(), lambda: _print_summary(summary))


def _print_summary(summary: ImportSummary) -> None:
    echo(f"{summary.file}: {counted(summary.read, 'row')} read")
    if summary.why:
        echo(f"  taken for {summary.format}, because {summary.why}")
    if summary.created:
        echo(f"  registered: {', '.join(summary.created)}")
    for expert, count in sorted(summary.scored.items()):
        echo(f"  {count} scored for {expert}")
    if summary.new_queries:
        echo(f"  {counted(summary.new_queries, 'new query', 'new queries')}")
    if summary.completed:
        echo(f"  {counted(summary.completed, 'stored query', 'stored queries')} completed")
    if summary.unchanged:
        echo(f"  {summary.unchanged} unchanged")
    if summary.skipped:
        echo(f"  {len(summary.skipped)} skipped")
    if summary.rules:
        rules = ", ".join(f"{rule!r} {count}" for rule, count in summary.rules.most_common())
        echo(f"  answers extracted by rule: {rules}")
    if summary.claims:
        echo(f"  the file extracts a different answer for {counted(summary.disagreements, 'response')}")
    if summary.differing_scores:
        echo(f"  the score of the file differs for {counted(summary.differing_scores, 'response')}")
    if summary.import_name:
        echo(f"  stored as {summary.import_name}")
    if summary.update is not None:
        print_update(summary.update)
    for note in summary.notes:
        echo(f"  {note}")
    _print_skipped(summary)


def _print_skipped(summary: ImportSummary) -> None:
    """Print the most frequent reasons, each with its first rows, and how many rows and reasons are not shown."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row in summary.skipped:
        rows.setdefault((f" of {row.file}" if row.file else "", row.reason), []).append(row.line)
    by_frequency = sorted(rows.items(), key=lambda item: -len(item[1]))
    for (of_file, reason), lines in by_frequency[:MAX_SKIPPED]:
        shown = ", ".join(str(line) for line in sorted(lines)[:MAX_SKIPPED])
        more = f" and {len(lines) - MAX_SKIPPED:,} more" if len(lines) > MAX_SKIPPED else ""
        echo(f"  skipped {'row' if len(lines) == 1 else 'rows'} {shown}{more}{of_file}: {reason}")
    if others := by_frequency[MAX_SKIPPED:]:
        n = counted(sum(len(lines) for _, lines in others), "more skipped row")
        echo(f"  ... and {n}, for {counted(len(others), 'other reason')} (--json lists all)")
