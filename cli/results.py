"""The commands import-results and import-scores: scores per query, or only per subject."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs import registry
from benchcoe_jobs.wording import counted

from .command import Command, Session, new_name
from .output import echo
from .price_notes import note_prices_without_counts

if TYPE_CHECKING:
    from benchcoe_jobs.services.ingest.result_import import ImportSummary

MAX_SKIPPED = 10


@click.command(cls=Command)
@click.argument("expert")
@click.argument("file", type=click.Path(readable=False, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(registry.names("importers")),
    default="table",
    show_default=True,
    help="Format of FILE.",
)
@click.option("--benchmark", metavar="NAME", callback=new_name, help="The benchmark, if the file does not name it.")
@click.option("--replace", is_flag=True, help="Replace earlier results of the same queries.")
@click.option("--new-subjects", is_flag=True, help="Allow rows to add subjects to the benchmark.")
def import_results(
    session: Session, expert: str, file: Path, form: str, benchmark: str | None, replace: bool, new_subjects: bool
) -> None:
    """Import an expert's per-query results.

    EXPERT is a registered expert, or the word all for a table that names the expert in every row. With
    --format mmlu-pro, FILE is an official MMLU-Pro result archive (zip or JSON). With --format table, FILE
    is a CSV, JSONL or Parquet file with the columns key or text, subject, and score; the columns benchmark,
    expert, split, tokens, cost, choices and answer are optional.

    A file is imported in one transaction, which also updates the labels. Unusable rows are skipped and
    listed. Importing the same file again changes nothing.
    """
    from benchcoe_jobs.services.ingest.result_import import import_results

    with session.progress(f"importing {file.name}") as progress:
        summary = import_results(
            session.store,
            expert,
            file,
            form=form,
            benchmark=benchmark,
            replace=replace,
            new_subjects=new_subjects,
            progress=progress,
        )
    show_summary(session, summary)
    for name in sorted(summary.scored):
        note_prices_without_counts(session, name)


@click.command(cls=Command)
@click.argument("expert")
@click.argument("file", type=click.Path(readable=False, path_type=Path))
@click.option("--benchmark", metavar="NAME", callback=new_name, help="The benchmark, if the file does not name it.")
def import_scores(session: Session, expert: str, file: Path, benchmark: str | None) -> None:
    """Import published per-subject scores.

    This is for experts without per-query results. EXPERT is a registered expert, or the word all for a
    table that names the expert in every row. FILE is a CSV, JSONL or Parquet file with the columns subject
    and score (0 to 1); the columns benchmark, expert and n are optional. The label views use these scores
    for subjects without measured scores, and mark them as reported.
    """
    from benchcoe_jobs.services.ingest.published_scores import import_scores

    show_summary(session, import_scores(session.store, expert, file, benchmark=benchmark))


def show_summary(session: Session, summary: ImportSummary) -> None:
    """Print the result of an import: counts, extraction rules, and the skipped rows."""

    def human() -> None:
        echo(f"{summary.file}: {counted(summary.read, 'row')} read")
        for expert, count in sorted(summary.scored.items()):
            echo(f"  {count} scored for {expert}")
        if summary.new_queries:
            echo(f"  {counted(summary.new_queries, 'new query', 'new queries')}")
        if summary.unchanged:
            echo(f"  {summary.unchanged} unchanged")
        if summary.skipped:
            echo(f"  {len(summary.skipped)} skipped")
        if summary.rules:
            rules = ", ".join(f"{rule!r} {count}" for rule, count in summary.rules.most_common())
            echo(f"  answers extracted by rule: {rules}")
            echo(f"  the file extracts a different answer for {counted(summary.disagreements, 'response')}")
        for note in summary.notes:
            echo(f"  {note}")
        for reason, count in Counter(row.reason for row in summary.skipped).most_common(MAX_SKIPPED):
            lines = [str(row.line) for row in summary.skipped if row.reason == reason]
            more = ", ..." if count > MAX_SKIPPED else ""
            echo(f"  skipped {'row' if count == 1 else 'rows'} {', '.join(lines[:MAX_SKIPPED])}{more}: {reason}")

    session.show(summary.as_json(), human)
