"""Routers: training and listing them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs import registry
from benchcoe_jobs.domain import ALL_POOL, Level, Split
from benchcoe_jobs.errors import UsageError

from .command import Command, Session
from .label import LEVELS, SPLITS

if TYPE_CHECKING:
    from benchcoe_jobs.jobs.train import Trained


@click.command(cls=Command)
@click.argument("name")
@click.option("--level", type=LEVELS, default=Level.SUBJECT.value, show_default=True)
@click.option("--kind", type=click.Choice(registry.names("routers")), default="tfidf", show_default=True)
@click.option(
    "--head",
    metavar="NAME",
    help="linear, knn or mlp (embedding), or ridge (blend); the kind's first where it is left out.",
)
@click.option("--pool", default=ALL_POOL, show_default=True)
@click.option("--benchmark", metavar="NAME", help="May be left out where there is only one.")
@click.option("--split", type=SPLITS, default=Split.TRAIN.value, show_default=True)
@click.option("--encoder", metavar="ID|FOLDER", help="Sentence encoder of an embedding or a blend router.")
@click.option("--revision", help="The encoder's revision on the hub.")
@click.option(
    "--extend", is_flag=True, help="Only add heads for experts that joined since; the others stay as they are."
)
def train_router(session: Session, name: str, extend: bool, **options: Any) -> None:
    """Train a router on the labels.

    Subject level: learns which subject a question belongs to; the expert comes from the label view
    when routing, so a new expert needs no training. Query level: learns every expert's score, one
    head each; --extend gives new experts their heads. A router of the same name is replaced.
    """
    from benchcoe_jobs.jobs.train import extend_router, train_router

    source = click.get_current_context().get_parameter_source
    if extend:
        fixed = [f"--{option}" for option in options if str(getattr(source(option), "name", "")) == "COMMANDLINE"]
        if fixed:
            raise UsageError(f"--extend keeps the router's own settings: leave out {', '.join(fixed)}")
        show(session, extend_router(session.store, session.settings.home, name))
        return
    options["level"] = Level(options["level"])
    show(session, train_router(session.store, session.settings.home, name, **options))


@click.command(cls=Command)
def routers(session: Session) -> None:
    """List routers."""
    from benchcoe_jobs.store import routers

    with session.store.reading() as connection:
        rows = [
            {
                "router": row.name,
                "level": row.level,
                "kind": row.kind,
                "pool": row.scope.pool.name,
                "benchmark": row.scope.benchmark,
                "split": row.scope.split,
                "queries": row.n_queries,
                "label_set": row.label_set if session.as_json else row.label_set[:12],
            }
            for row in routers.routers(connection)
        ]
    session.show_list("routers", rows)


def show(session: Session, trained: Trained) -> None:
    """What was trained, on what."""
    scope = trained.scope
    data = {
        "router": trained.name,
        "level": trained.level,
        "kind": trained.kind,
        "pool": scope.pool.name,
        "benchmark": scope.benchmark,
        "split": scope.split,
        "label_set": trained.label_set,
        "n": trained.n_queries,
        "outputs": trained.outputs,
        "new_outputs": trained.new_outputs,
        "fallback": asdict(trained.calibration) if trained.calibration else None,
    }
    what = "subjects" if trained.level == Level.SUBJECT else "experts"
    session.show(
        data,
        lambda: click.echo(
            f"{trained.name}: {trained.level}-level {trained.kind} router, {len(trained.outputs)} {what} "
            f"({len(trained.new_outputs)} new), from {trained.n_queries} queries of {scope.benchmark}, "
            f"split {scope.split}"
        ),
    )
    if found := trained.calibration:
        session.note(
            f"note: on subjects left out it gained {100 * found.gain_without:+.1f} points over the best single expert; "
            f"with the fallback {100 * found.gain:+.1f} [at least {100 * found.low:+.1f}], at the price that "
            f"{found.share:.0%} of questions like the training ones fall back too (--no-fallback routes all)"
        )
