"""The command imports: what was imported, when, and from which file."""

from __future__ import annotations

import click

from .command import Command, Session, cell, table


@click.command(cls=Command)
def imports(session: Session) -> None:
    """List what was imported, from which files.

    Each line is an import that changed the store, the oldest first, with the SHA-256 of its file.
    `benchcoe-jobs remove import NAME` gives back the store as it was before.
    """
    from benchcoe_jobs.store.results import imports as stored

    with session.store.reading() as connection:
        found = stored.imports(connection)
    rows = [
        {
            "import": row.name,
            "time": row.created_at.isoformat(timespec="seconds"),
            "command": row.command,
            "file": row.file,
            "sha256": row.sha256,
            "format": row.format,
            "benchmarks": row.benchmarks,
            "experts": sorted(row.counts.get("scored", {})),
            "counts": row.counts,
        }
        for row in found
    ]
    shown = ["import", "time", "file", "sha256", "benchmarks", "experts", "scored", "new queries"]
    session.show(
        {"imports": rows},
        lambda: table(
            [
                [
                    row.name,
                    row.created_at.isoformat(" ", timespec="minutes")[:16],
                    row.file,
                    row.sha256[:12],
                    cell(row.benchmarks),
                    cell(sorted(row.counts.get("scored", {}))[:5]),
                    str(sum(row.counts.get("scored", {}).values())),
                    str(row.counts.get("new_queries", 0)),
                ]
                for row in found
            ],
            shown,
        ),
    )
    if not rows:
        session.note("there are no imports yet: `benchcoe-jobs import-results --help` says what can be imported")
