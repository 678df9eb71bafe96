"""The command worth: whether a router would pay, from the training split alone."""

from __future__ import annotations

import click

from benchcoe_jobs.domain import ALL_POOL

from .command import Command, Session
from .output import echo


@click.command(cls=Command)
@click.option("--pool", default=ALL_POOL, show_default=True, help="The pool to route among.")
@click.option("--benchmark", metavar="NAME", help="The benchmark. [the only one in the store]")
def worth(session: Session, pool: str, benchmark: str | None) -> None:
    """Estimate whether a router would pay, before you train one.

    Prints the sentence with which report begins, from nested cross-validation within the split train. In each
    of four folds the other three choose between a tfidf router at subject level, one at query level, and no
    router; the choice is then measured on the fold. The splits validation and test are not read, no expert is
    asked, and the store is not changed.
    """
    from benchcoe_jobs.services.report.worth import N_TRAININGS, worth

    with session.progress("cross-validation", total=N_TRAININGS) as progress:
        found = worth(session.store, pool=pool, benchmark=benchmark, progress=progress)

    def human() -> None:
        echo(found.verdict.sentence)
        folds = ", ".join(f"{name} {n}" for name, n in found.chosen.items())
        session.note(f"note: chosen in the folds: {folds}")

    session.show(found.as_json(), human)
