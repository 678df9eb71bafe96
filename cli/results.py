"""Results: per query, and per subject where that is all there is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchcoe_jobs import registry

from .command import Command, Session, new_name

if TYPE_CHECKING:
    from benchcoe_jobs.services.ingest.result_import import ImportSummary

FAULTS_SHOWN = 10


@click.command(cls=Command)
@click.argument("expert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(registry.names("importers")), default="table", show_default=True)
@click.option("--benchmark", metavar="NAME", callback=new_name, help="The benchmark, where the file does not say.")
@click.option("--replace", is_flag=True, help="Take this file's rows over earlier ones on the same queries.")
@click.option("--new-subjects", is_flag=True, help="Let rows bring subjects that the benchmark does not have yet.")
def import_results(
    session: Session, expert: str, file: Path, form: str, benchmark: str | None, replace: bool, new_subjects: bool
) -> None:
    """Import per-query results of an expert.

    EXPERT is a registered expert, or the word all for a table that names the expert in every row.
    FILE is, by --format: mmlu-pro, an official MMLU-Pro result archive (zip or JSON); table, a CSV,
    JSONL or Parquet file with the columns key or text, subject and score, and where there are any
    benchmark, expert, split, tokens, cost, choices and answer.

    One file is one transaction. Rows that cannot be used are skipped and listed; the same file twice
    changes nothing. The label views follow at once.
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


@click.command(cls=Command)
@click.argument("expert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--benchmark", metavar="NAME", callback=new_name, help="The benchmark, where the file does not say.")
def import_scores(session: Session, expert: str, file: Path, benchmark: str | None) -> None:
    """Import published per-subject scores.

    For experts with no per-query results. EXPERT is a registered expert, or the word all for a table
    that names it in every row. FILE is CSV, JSONL or Parquet with the columns subject and score (in
    [0, 1]), and where there are any benchmark, expert and n. The label views use these scores where
    nothing is measured, and say so.
    """
    from benchcoe_jobs.services.ingest.published_scores import import_scores

    show_summary(session, import_scores(session.store, expert, file, benchmark=benchmark))


def show_summary(session: Session, summary: ImportSummary) -> None:
    """What became of a file: counts, extraction rules, and the rows that were skipped."""

    def human() -> None:
        click.echo(f"{summary.file}: {summary.read} rows read")
        for expert, count in sorted(summary.scored.items()):
            click.echo(f"  {count} scored for {expert}")
        for count, what in (
            (summary.new_queries, "new queries"),
            (summary.unchanged, "there already"),
            (len(summary.skipped), "skipped"),
        ):
            if count:
                click.echo(f"  {count} {what}")
        if summary.rules:
            rules = ", ".join(f"{rule!r} {count}" for rule, count in summary.rules.most_common())
            click.echo(f"  answers extracted by rule: {rules}")
            click.echo(f"  {summary.disagreements} answers differ from the file's own")
        for note in summary.notes:
            click.echo(f"  {note}")
        for reason, count in Counter(fault.reason for fault in summary.skipped).most_common(FAULTS_SHOWN):
            lines = [str(fault.line) for fault in summary.skipped if fault.reason == reason]
            more = ", ..." if count > FAULTS_SHOWN else ""
            click.echo(f"  skipped row {', '.join(lines[:FAULTS_SHOWN])}{more}: {reason}")

    session.show(summary.as_json(), human)
