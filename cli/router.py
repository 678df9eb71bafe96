"""The commands train-router and routers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from benchcoe_jobs import registry
from benchcoe_jobs.domain import ALL_POOL, Level, Policy, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.model_folder import stored_name
from benchcoe_jobs.wording import counted, percent

from .command import Command, Finite, Session
from .drift_notes import note_drifted_of_pool
from .job_commands import priority_option, run_job, wait_option
from .label import LEVELS, POLICIES, SPLITS
from .output import echo


@click.command(cls=Command)
@click.argument("name")
@click.option(
    "--level",
    type=LEVELS,
    help="Predict the subject, or each expert's score on the query. [subject; query if the kind has no other]",
)
@click.option(
    "--kind",
    type=click.Choice(registry.names("routers")),
    help="Kind of router. [blend if the default sentence encoder is on this machine, and neither subject level nor a "
    "policy or a head is asked for; otherwise tfidf]",
)
@click.option(
    "--head",
    metavar="NAME",
    help="Head of the router: linear, knn or mlp (embedding), ridge (blend, cascade, and vision at query level), "
    "linear (vision and bert at subject level), bce or regression (bert at query level). [the first of the kind]",
)
@click.option("--pool", default=ALL_POOL, show_default=True, help="Pool of experts to route to.")
@click.option("--benchmark", metavar="NAME", help="The benchmark. [the only one in the store]")
@click.option("--split", type=SPLITS, default=Split.TRAIN.value, show_default=True, help="Split to train on.")
@click.option(
    "--policy",
    type=POLICIES,
    default=Policy.BEST.value,
    show_default=True,
    help="Labels of a subject-level router; see build-labels.",
)
@click.option(
    "--max-fallback",
    type=Finite(min=0, max=1),
    default=0.4,
    show_default=True,
    help="Largest share of in-distribution questions that may fall back to the best single expert. 0 disables the "
    "fallback; 1 sets no limit.",
)
@click.option(
    "--encoder",
    metavar="ID|FOLDER",
    help="Sentence encoder of an embedding, blend, cascade or vision router, or the encoder that a bert router "
    "fine-tunes.",
)
@click.option("--revision", help="The encoder's revision on the hub.")
@click.option(
    "--image-encoder",
    metavar="ID|FOLDER",
    help="Encoder of pictures of a vision router: a model such as CLIP, SigLIP or DINOv2, efficientnet-lite0, or "
    "handmade. [handmade, which needs no download]",
)
@click.option("--extend", is_flag=True, help="Only add heads for new experts; leave the existing heads unchanged.")
@priority_option
@wait_option
def train_router(session: Session, name: str, extend: bool, wait: bool, priority: int, **options: Any) -> None:
    """Train a router on the labels.

    A subject-level router predicts the subject of a question. The expert is looked up in the label view when
    the question is routed, so a new expert needs no training. A query-level router predicts the score of
    each expert with one head per expert; --extend adds heads for new experts. A router of the same name is
    replaced.

    Without --kind it is blend, which gains most on real results, if the extra routers is installed and the
    default sentence encoder is in the cache of the Hugging Face hub; a note says so. Otherwise it is tfidf,
    which needs no further packages.

    A vision router reads the pictures of a question beside its text. How much they count is chosen by
    cross-validation within the training questions.

    A cascade asks one expert, looks at its answer, and decides whether another one is worth its price. It is
    learned from stored responses, at query level, and has no fallback.

    A bert router fine-tunes its encoder and keeps the epoch with the best result on the validation split. If
    the training is killed, the same command continues from the last checkpoint.
    """
    source_of = click.get_current_context().get_parameter_source
    request: dict[str, Any] = {"router": name, "extend": True}
    if extend:
        fixed = [
            f"--{option.replace('_', '-')}" for option in options if source_of(option) is ParameterSource.COMMANDLINE
        ]
        if fixed:
            raise UsageError(f"--extend keeps the settings of the router: leave out {', '.join(fixed)}")
    else:
        chosen = chosen_kind(options)
        if options["kind"] is None and chosen["kind"] == "blend":
            session.note("note: kind blend at query level, because a sentence encoder is here: --kind tfidf needs none")
        options |= chosen
        for name_of in ("encoder", "image_encoder"):
            if options[name_of] is not None:
                options[name_of] = stored_name(options[name_of])
        request = {"router": name, **options}
        note_drifted_of_pool(session, options["pool"])
    job = run_job(session, "train-router", request, what=f"training {name}", wait=wait, priority=priority)
    if job is not None:
        _show(session, job.report or {})


def chosen_kind(options: Mapping[str, Any]) -> dict[str, str]:
    """The kind and the level of a router, chosen where the options leave them open (None)."""
    kind, level = options["kind"], options["level"]
    if kind is None:
        from benchcoe_jobs.routers.encoder import default_encoder_here

        is_open = level != Level.SUBJECT and options["policy"] == Policy.BEST and options["head"] is None
        kind = "blend" if is_open and default_encoder_here() is not None else "tfidf"
    if level is None:
        levels = registry.load("routers", kind).heads
        level = Level.SUBJECT if Level.SUBJECT in levels else next(iter(levels))
    return {"kind": kind, "level": Level(level).value}


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


def _show(session: Session, trained: Mapping[str, Any]) -> None:
    """Print what was trained on which queries, and notes on validation and fallback."""
    outputs = counted(len(trained["outputs"]), "subject" if trained["level"] == Level.SUBJECT else "expert")
    queries = counted(trained["n"], "query", "queries")
    session.show(
        trained,
        lambda: echo(
            f"{trained['router']}: {trained['level']}-level {trained['kind']} router, {outputs} "
            f"({len(trained['new_outputs'])} new), trained on {queries} of {trained['benchmark']}, "
            f"split {trained['split']}"
        ),
    )
    if measured := [point for point in trained["history"] or () if "validation_loss" in point]:
        best = max(measured, key=lambda point: point.get("validation_accuracy", -point["validation_loss"]))
        name = "validation_accuracy" if "validation_accuracy" in best else "validation_loss"
        session.note(
            f"note: {name.replace('_', ' ')} {measured[0][name]:.3f} before fine-tuning, {best[name]:.3f} after epoch "
            f"{best['epoch']:g}, which is kept (--json prints the whole history)"
        )
    if weight := trained["auto_weight"]:
        session.note(
            f"note: --quality-weight auto is {weight['weight']:.4g}: in cross-validation it has "
            f"{100 * weight['gain']:+.1f} points over the best single expert at "
            f"{percent(weight['cost_share'], 0)} of its expected cost"
        )
    if cascade := trained.get("cascade"):
        chains = "; ".join(" > ".join(chain) for chain in cascade["chains"])
        session.note(
            f"note: it asks in this order, by quality weight: {chains}. Learned from {cascade['n']} of {queries}: "
            "those with a response of every expert that has responses to half of them"
        )
        if cascade["reads"] == "tfidf":
            session.note("note: it reads the words of a question, because no sentence encoder was named or found")
    fallback = trained["fallback"]
    if fallback and fallback["cross_validated"] is not None and fallback["cross_validated"] <= 0:
        session.note(
            f"note: every question goes to the best single expert: in cross-validation on the {queries}, routing gains "
            f"{100 * fallback['cross_validated']:+.1f} points over it. --max-fallback 0 routes nevertheless, and more "
            "scored questions may help"
        )
    elif fallback:
        session.note(
            f"note: on held-out subjects: {100 * fallback['gain_without']:+.1f} points against the best single expert "
            f"without fallback, {100 * fallback['gain']:+.1f} (lower bound {100 * fallback['low']:+.1f}) with it; "
            f"{100 * fallback['share']:.0f} % of in-distribution questions fall back"
        )
