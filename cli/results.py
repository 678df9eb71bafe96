"""The commands import-results and import-scores: scores per query, or only per subject."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Scale
from benchcoe_jobs.errors import UsageError

from .command import Command, Session, new_name
from .import_report import MAX_SKIPPED, next_step, require_all, show_summaries, show_summary
from .price_notes import note_prices_without_counts

if TYPE_CHECKING:
    from benchcoe_jobs.services.ingest.source_import import Outcome

AUTO = "auto"

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


class _GivenPath(click.Path):
    """A path that is not empty: click and pathlib take "", as of a variable that is not set, for the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("a path is empty.", param, ctx)
        return super().convert(value, param, ctx)


def _columns(_ctx: click.Context, _param: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        column, equals, name = pair.partition("=")
        if not (column and equals and name) or column in columns:
            raise UsageError(f"--map {pair!r}: write COLUMN=NAME, each COLUMN once, such as --map score=acc_norm")
        columns[column] = name
    return columns


@click.command(cls=Command)
@click.argument("expert")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_GivenPath(readable=False, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice([AUTO, *registry.names("importers")]),
    default=AUTO,
    show_default=True,
    help="Format of each PATH. auto: the one that recognises it.",
)
@click.option("--benchmark", metavar="NAME", callback=new_name, help="The benchmark, if the file does not name it.")
@click.option("--create-experts", is_flag=True, help="With all: register the experts that are missing.")
@click.option("--replace", is_flag=True, help="Replace earlier results of the same queries.")
@click.option("--new-subjects", is_flag=True, help="Allow rows to add subjects to the benchmark.")
@new_queries_option
@click.option("--metric", metavar="NAME", help="The metric that is the score, if the file has several.")
@click.option("--filter", metavar="NAME", help="The filter of the answers, if the file has several.")
@click.option("--subject-from", metavar="FIELD", help="The field of a row that names its subject.")
@click.option(
    "--map",
    "columns",
    metavar="COLUMN=NAME",
    multiple=True,
    callback=_columns,
    help="The name of a column in a table: --map score=acc_norm. May be repeated.",
)
@click.option(
    "--scale",
    type=click.Choice([AUTO, *(scale.value for scale in Scale)]),
    default=AUTO,
    show_default=True,
    help="Scale of every score: 0 to 1, or 0 to 100. auto: that of the format, which is 0 to 1 for tables.",
)
def import_results(
    session: Session,
    expert: str,
    paths: tuple[Path, ...],
    form: str,
    benchmark: str | None,
    create_experts: bool,
    replace: bool,
    new_subjects: bool,
    new_queries: bool,
    metric: str | None,
    filter: str | None,
    subject_from: str | None,
    columns: dict[str, str],
    scale: str,
) -> None:
    """Import an expert's per-query results.

    EXPERT is a registered expert, or the word all for files that name the expert of every row. Each PATH is a
    file, or a folder in which files are looked for. The format of a file is recognised by its content; see
    docs/formats.md for all of them. A table is a CSV, TSV, JSON, JSONL or Parquet file, also in a zip or with
    gzip (.csv.gz), a workbook (.xlsx), or a folder of Parquet files. It has the columns key or text, subject,
    and score; the columns benchmark, expert, split, response, prompt_tokens, completion_tokens, cost, choices
    and answer are optional, and others are ignored. A score is a number, or true or false.

    Each file is imported in one transaction, which also updates the labels; files that were imported stay, if
    another one cannot be. Unusable rows are skipped and listed. One score outside of the scale refuses the
    whole file, and so does a mean that differs from the one that the file states. Importing the
    same file again changes nothing, and `benchcoe-jobs remove import` takes an import back.

    Questions are compared without their line ends, the composition of accents and blanks around them. A row
    whose key is another spelling of a stored one, such as 1.0 or 001 for 1, is a row of that query if it has
    the same question, and is skipped otherwise. So is a row whose question is stored under another key. A file
    is refused if few of its queries are stored ones, in subjects that have queries.
    """
    from benchcoe_jobs.importers.base import ReadOptions
    from benchcoe_jobs.importers.detection import find
    from benchcoe_jobs.services.ingest.import_summary import Earlier
    from benchcoe_jobs.services.ingest.result_import import import_results
    from benchcoe_jobs.services.ingest.source_import import import_found

    if create_experts and expert != "all":
        raise UsageError("--create-experts is for import-results all, which takes the experts from the files")
    found = find(paths, "table" if columns and form == AUTO else form)
    options = ReadOptions(
        benchmark=benchmark,
        scale=None if scale == AUTO else Scale(scale),
        metric=metric,
        filter=filter,
        subject_from=subject_from,
        columns=columns,
        companions=tuple(found.companions),
    )
    outcomes: list[Outcome] = []
    try:
        with session.progress(f"importing {paths[0].name}") as progress:
            import_one = partial(
                import_results,
                session.store,
                expert,
                options=options,
                replace=replace,
                new_subjects=new_subjects,
                new_queries=new_queries,
                create_experts=create_experts,
                earlier=Earlier(),
                progress=progress,
            )
            for outcome in import_found(found, lambda path, of_form: import_one(path, form=of_form)):
                outcomes.append(outcome)
    finally:
        summaries = [outcome.summary for outcome in outcomes if outcome.summary is not None]
        show_summaries(session, summaries, found.unknown)
    if found.unknown and found.recognised:
        shown = ", ".join(map(str, found.unknown[:MAX_SKIPPED]))
        more = f" and {len(found.unknown) - MAX_SKIPPED} more" if len(found.unknown) > MAX_SKIPPED else ""
        session.note(f"not read, because they have no known format: {shown}{more}")
    require_all(outcomes)
    note_prices_without_counts(session, {name for summary in summaries for name in summary.scored})
    if (step := next_step(summaries)) is not None:
        session.note(f"next: {step}")


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
