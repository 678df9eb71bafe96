"""The command export: scores, labels and decisions in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchcoe_jobs.domain import Policy
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.files import read_toml
from benchcoe_jobs.services.export.base import FORMATS

from .command import Command, Session
from .label import POLICIES, SPLITS
from .output import echo, stdout_bytes

CONTENTS = ("scores", "queries", "subject-labels", "query-labels", "decisions")


@click.command(cls=Command)
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.option("--router", metavar="NAME", help="Export for this router, with its pool, benchmark, split and policy.")
@click.option("--pool", metavar="NAME", help="Pool of experts. [all]")
@click.option("--benchmark", metavar="NAME", help="The benchmark. [the router's, or the only one in the store]")
@click.option("--split", type=SPLITS, help="Only this split. [every split of scores; train or the router's of labels]")
@click.option("--policy", type=POLICIES, help="Policy of subject labels, as for build-labels. [best]")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PATH", help="The new file or folder. [standard output]"
)
@click.option(
    "--map",
    "mapping",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file with the category of each subject, or the model of each expert, that has another name there.",
)
@click.option(
    "--endpoints",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file with url, model and key_env of experts whose address the store does not have.",
)
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE", help="The data set to decide about.")
@click.option("--encoder", metavar="ID|FOLDER", help="Sentence encoder that compares questions, as for train-router.")
@click.option("--training", is_flag=True, help="Write scores to train a selection on, and no configuration.")
@click.option("--what", type=click.Choice(CONTENTS), help="Rows of a table. [scores]")
def export(
    session: Session,
    form: str,
    router: str | None,
    pool: str | None,
    benchmark: str | None,
    split: str | None,
    policy: str | None,
    out: Path | None,
    mapping: Path | None,
    endpoints: Path | None,
    **flags: Any,
) -> None:
    """Write scores, labels and decisions for another program.

    FORMAT is one of the formats in docs/exports.md. The files are new and can be read by you alone: an
    export replaces nothing. Formats of several files need --out with the name of a new folder. Keys and
    passwords are never written.

    table writes CSV, or what the suffix of --out says (.csv, .jsonl, .parquet). import-results reads the
    scores back, add-benchmark the queries.
    """
    from benchcoe_jobs.services.export.base import ExportRequest, exporter
    from benchcoe_jobs.services.export.files import FileOutput, FolderOutput, StreamOutput

    chosen = exporter(form)
    files = {"map": mapping, "endpoints": endpoints}
    given = {name: value for name, value in (files | flags).items() if value not in (None, False)}
    for name in sorted({*given, *(["policy"] if policy else [])} - chosen.options):
        raise UsageError(f"--{name} is not an option of format {form}: see docs/exports.md")
    given |= {name: read_toml(path) for name, path in files.items() if path is not None}
    request = ExportRequest(router, pool, benchmark, split, Policy(policy) if policy else None, given)
    is_folder = chosen.is_folder(request)
    if out is None and (is_folder or session.as_json):
        if is_folder:
            raise UsageError(f"format {form} has several files: name a new folder with --out")
        raise UsageError("--json prints a summary in place of the export: name a new file with --out")
    home = session.settings.home
    if out is None:
        exported = chosen.write(session.store, home, request, StreamOutput(stdout_bytes()))
        session.note(f"note: {exported.summary}")
    else:
        if is_folder:
            with FolderOutput.open(out) as output:
                exported = chosen.write(session.store, home, request, output)
        else:
            exported = chosen.write(session.store, home, request, FileOutput(out))
        session.show(
            {"format": form, "out": str(out), **exported.figures, "notes": list(exported.notes)},
            lambda: echo(f"{out}: {exported.summary}"),
        )
    for note in exported.notes:
        session.note(f"note: {note}")
