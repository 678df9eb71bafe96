"""The commands import-results and import-scores: scores per query, or only per subject."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Scale
from benchcoe_jobs.wording import counted

from .command import Command, Session, new_name
from .output import echo
from .price_notes import note_prices_without_counts

if TYPE_CHECKING:
    from benchcoe_jobs.services.ingest.import_summary import ImportSummary

MAX_SKIPPED = 10
"""Reasons that are shown, and rows for each of them."""

scale_option = click.option(
    "--scale",
    type=click.Choice([scale.value for scale in Scale]),
    default=Scale.FRACTION.value,
    show_default=True,
    help="Scale of every score in FILE: 0 to 1, or 0 to 100.",
)
new_queries_option = click.option(
    "--new-queries",
    is_flag=True,
    help="Take rows as new queries even if they look like stored queries with other keys.",
)


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
@new_queries_option
@scale_option
def import_results(
    session: Session,
    expert: str,
    file: Path,
    form: str,
    benchmark: str | None,
    replace: bool,
    new_subjects: bool,
    new_queries: bool,
    scale: str,
) -> None:
    """Import an expert's per-query results.

    EXPERT is a registered expert, or the word all for a table that names the expert in every row. With
    --format mmlu-pro, FILE is an official MMLU-Pro result archive (zip, gzip or JSON). With --format table,
    FILE is a CSV, TSV, JSONL or Parquet file, also in a zip or with gzip (.csv.gz), or a folder of Parquet
    files. It has the columns key or text, subject, and score; the columns benchmark, expert, split, tokens,
    cost, choices and answer are optional. A score is a number, or true or false. A column in which pandas
    wrote its index is passed over. A workbook must be saved as CSV, and a list in JSON as JSON Lines.

    A file is imported in one transaction, which also updates the labels. Unusable rows are skipped and
    listed. One score outside of the scale refuses the whole file. So do keys that the benchmark does not
    know, if the file has no texts. A row is skipped if its question is stored under another key, or with
    other line ends, blanks or accents, or if its key is another spelling of a stored one, such as 1.0, 001
    or toy-1 for 1. Importing the same file again changes nothing.
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
            new_queries=new_queries,
            scale=Scale(scale),
            progress=progress,
        )
    show_summary(session, summary)
    for name in sorted(summary.scored):
        note_prices_without_counts(session, name)


@click.command(cls=Command)
@click.argument("expert")
@click.argument("file", type=click.Path(readable=False, path_type=Path))
@click.option("--benchmark", metavar="NAME", callback=new_name, help="The benchmark, if the file does not name it.")
@scale_option
def import_scores(session: Session, expert: str, file: Path, benchmark: str | None, scale: str) -> None:
    """Import published per-subject scores.

    This is for experts without per-query results. EXPERT is a registered expert, or the word all for a
    table that names the expert in every row. FILE is a table as for import-results, with the columns
    subject and score; the columns benchmark, expert and n are optional. One score outside of the scale
    refuses the whole file. The label views use these scores for subjects without measured scores, and mark
    them as reported.
    """
    from benchcoe_jobs.services.ingest.published_scores import import_scores

    show_summary(session, import_scores(session.store, expert, file, benchmark=benchmark, scale=Scale(scale)))


def show_summary(session: Session, summary: ImportSummary) -> None:
    """Print the result of an import: counts, extraction rules, and the skipped rows."""

    def human() -> None:
        echo(f"{summary.file}: {counted(summary.read, 'row')} read")
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
            echo(f"  the file extracts a different answer for {counted(summary.disagreements, 'response')}")
        for note in summary.notes:
            echo(f"  {note}")
        _print_skipped(summary)

    session.show(summary.as_json(), human)


def _print_skipped(summary: ImportSummary) -> None:
    """Print the most frequent reasons, each with its first rows, and how many rows and reasons are not shown."""
    rows: dict[str, list[int]] = {}
    for row in summary.skipped:
        rows.setdefault(row.reason, []).append(row.line)
    by_frequency = sorted(rows.items(), key=lambda item: -len(item[1]))
    for reason, lines in by_frequency[:MAX_SKIPPED]:
        shown = ", ".join(str(line) for line in sorted(lines)[:MAX_SKIPPED])
        more = f" and {len(lines) - MAX_SKIPPED:,} more" if len(lines) > MAX_SKIPPED else ""
        echo(f"  skipped {'row' if len(lines) == 1 else 'rows'} {shown}{more}: {reason}")
    if others := by_frequency[MAX_SKIPPED:]:
        n = counted(sum(len(lines) for _, lines in others), "more skipped row")
        echo(f"  ... and {n}, for {counted(len(others), 'other reason')} (--json lists all)")
