"""Routers: training and listing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from benchcoe_jobs import registry
from benchcoe_jobs.domain import ALL_POOL, Level, Policy, Split
from benchcoe_jobs.errors import UsageError

from .command import Command, Finite, Session
from .job_commands import get_done, waits
from .label import LEVELS, POLICIES, SPLITS


@click.command(cls=Command)
@click.argument("name")
@click.option("--level", type=LEVELS, default=Level.SUBJECT.value, show_default=True)
@click.option("--kind", type=click.Choice(registry.names("routers")), default="tfidf", show_default=True)
@click.option(
    "--head",
    metavar="NAME",
    help="linear, knn or mlp (embedding), ridge (blend), linear (bert by subject), bce or regression (bert by query); "
    "the kind's first where it is left out.",
)
@click.option("--pool", default=ALL_POOL, show_default=True)
@click.option("--benchmark", metavar="NAME", help="May be left out where there is only one.")
@click.option("--split", type=SPLITS, default=Split.TRAIN.value, show_default=True)
@click.option(
    "--policy",
    type=POLICIES,
    default=Policy.BEST.value,
    show_default=True,
    help="The labels that a subject-level router goes by: see build-labels.",
)
@click.option(
    "--max-fallback",
    type=Finite(min=0, max=1),
    default=0.4,
    show_default=True,
    help="The most of questions like the training ones that may go to the best single expert so that questions unlike "
    "them do no harm; 0: none is calibrated, and training takes less; 1 sets no limit to caution.",
)
@click.option(
    "--encoder",
    metavar="ID|FOLDER",
    help="Sentence encoder of an embedding or a blend router, or the encoder that a bert router begins with.",
)
@click.option("--revision", help="The encoder's revision on the hub.")
@click.option(
    "--extend", is_flag=True, help="Only add heads for experts that joined since; the others stay as they are."
)
@waits
def train_router(session: Session, name: str, extend: bool, wait: bool, **options: Any) -> None:
    """Train a router on the labels.

    Subject level: learns which subject a question belongs to; the expert comes from the label view
    when routing, so a new expert needs no training. Query level: learns every expert's score, one
    head each; --extend gives new experts their heads. A router of the same name is replaced.

    A bert router fine-tunes its encoder and keeps the epoch that was best on the validation split. A training
    that was killed goes on from its last checkpoint when the same is asked for again.
    """
    source = click.get_current_context().get_parameter_source
    request: dict[str, Any] = {"router": name, "extend": True}
    if extend:
        fixed = [f"--{option}" for option in options if str(getattr(source(option), "name", "")) == "COMMANDLINE"]
        if fixed:
            raise UsageError(f"--extend keeps the router's own settings: leave out {', '.join(fixed)}")
    else:
        request = {"router": name, **options}
    job = get_done(session, "train-router", request, what=f"training {name}", wait=wait)
    if job is not None:
        show(session, job.report or {})


@click.command(cls=Command)
def routers(session: Session) -> None:
    """List routers."""
    from benchcoe_jobs.store.routing import routers

    with session.store.reading() as connection:
        rows = [
            {
                "router": row.name,
                "level": row.level,
                "kind": row.kind,
                "policy": row.policy.value,
                "pool": row.scope.pool.name,
                "benchmark": row.scope.benchmark,
                "split": row.scope.split,
                "queries": row.n_queries,
                "label_set": row.label_set if session.as_json else row.label_set[:12],
            }
            for row in routers.routers(connection)
        ]
    session.show_list("routers", rows)


def show(session: Session, trained: Mapping[str, Any]) -> None:
    """What was trained, on what."""
    what = "subjects" if trained["level"] == Level.SUBJECT else "experts"
    session.show(
        trained,
        lambda: click.echo(
            f"{trained['router']}: {trained['level']}-level {trained['kind']} router, {len(trained['outputs'])} {what} "
            f"({len(trained['new_outputs'])} new), from {trained['n']} queries of {trained['benchmark']}, "
            f"split {trained['split']}"
        ),
    )
    if measured := [point for point in trained["history"] or () if "validation_loss" in point]:
        best = max(measured, key=lambda point: point.get("validation_accuracy", -point["validation_loss"]))
        name = "validation_accuracy" if "validation_accuracy" in best else "validation_loss"
        session.note(
            f"note: {name.replace('_', ' ')} {measured[0][name]:.3f} before fine-tuning, {best[name]:.3f} after epoch "
            f"{best['epoch']:g}, which is kept (--json has the whole history)"
        )
    if found := trained["fallback"]:
        session.note(
            f"note: on subjects left out it gained {100 * found['gain_without']:+.1f} points over the best single "
            f"expert; with the fallback {100 * found['gain']:+.1f} [at least {100 * found['low']:+.1f}], at the price "
            f"that {found['share']:.0%} of questions like the training ones fall back too (--no-fallback routes all)"
        )
