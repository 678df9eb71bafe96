"""The commands add-benchmark and benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from benchcoe_jobs.errors import UsageError

from .command import Command, Session, new_name
from .import_report import show_summary
from .results import new_queries_option


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.argument("file", type=click.Path(readable=False, path_type=Path), required=False)
@click.option("--hub", is_flag=True, help="Download a known benchmark from the Hugging Face hub.")
@click.option("--revision", metavar="COMMIT", help="The commit to download, if none is pinned.")
@new_queries_option
@click.option("--update", is_flag=True, help="Take corrected answers of stored queries.")
@click.option("--dry-run", is_flag=True, help="With --update: show what would change; store nothing.")
def add_benchmark(
    session: Session,
    name: str,
    file: Path | None,
    hub: bool,
    revision: str | None,
    new_queries: bool,
    update: bool,
    dry_run: bool,
) -> None:
    """Add a benchmark and its queries.

    NAME is either a known benchmark (bbh, hellaswag, hellaswag-generative, mmlu-pro, mmmu, mmstar,
    scienceqa, skills, winogrande, winogrande-generative), with --hub or with FILE, a file or folder in the
    published format; or a name of your own, with FILE a table, as for import-results. The table needs the
    columns text and subject; the columns key, choices (a JSON list), answer, split and images are optional.
    images has one picture or a list of them: paths, which begin at the folder of the table, data URIs, or
    bytes in Parquet. Queries without a split are assigned to train, validation and test in the ratio
    60:10:30. A stored query without a text gets it from here, and stays in its split. A row is skipped if
    its question is stored under another key. Recorded MMLU-Pro results contain their questions and do not
    need this command.

    With --update, a row that differs from its stored query by the answer alone corrects it. The responses to
    it that are stored are scored again; the scores and labels that change are listed. Scores that were
    imported as scores stay, and are counted by expert.
    """
    from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark, fetch_benchmark

    if hub and file is not None:
        raise UsageError("give FILE or --hub, not both")
    if revision is not None and not hub:
        raise UsageError("--revision needs --hub")
    if file is None and not hub:
        raise UsageError(f"benchmark {name!r} needs queries. Give FILE, or --hub for a known benchmark")
    if dry_run and not update:
        raise UsageError("--dry-run needs --update")
    path = file or fetch_benchmark(name, revision)
    summary = add_benchmark(session.store, name, path, new_queries=new_queries, update=update, dry_run=dry_run)
    show_summary(session, summary)


@click.command(cls=Command)
def benchmarks(session: Session) -> None:
    """List benchmarks."""
    from benchcoe_jobs.store.results import catalog

    with session.store.reading() as connection:
        session.show_list("benchmarks", catalog.benchmarks(connection))
