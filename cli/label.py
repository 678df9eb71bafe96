"""Labels."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.domain import ALL_POOL, Level, Policy, Split

from .command import Command, Finite, Session, percent, table

if TYPE_CHECKING:
    from benchcoe_jobs.services.labelling.build import BuiltLabels

LEVELS = click.Choice([level.value for level in Level])
SPLITS = click.Choice([split.value for split in Split])
POLICIES = click.Choice([policy.value for policy in Policy])


@click.command(cls=Command)
@click.option("--level", type=LEVELS, required=True, help="The best expert per subject, or per query.")
@click.option("--pool", default=ALL_POOL, show_default=True, help="The experts to choose among.")
@click.option("--benchmark", metavar="NAME", help="May be left out where there is only one.")
@click.option("--split", type=SPLITS, default=Split.TRAIN.value, show_default=True)
@click.option(
    "--min-coverage",
    type=Finite(0, 1, min_open=True),
    help="Share of a subject's queries that an expert needs scores for; kept with the pool. [0.95]",
)
@click.option(
    "--policy",
    type=POLICIES,
    default=Policy.BEST.value,
    show_default=True,
    help="Whom a subject goes to where its best expert is not clearly the best.",
)
def build_labels(
    session: Session,
    level: str,
    pool: str,
    benchmark: str | None,
    split: str,
    min_coverage: float | None,
    policy: str,
) -> None:
    """Freeze the best expert per subject or query.

    The labels come from the SQL views subject_label and query_label; this keeps a copy under a
    fingerprint. Ties go to the expert's mean on the subject (query level), then to the lower cost,
    then to the name. flip: how often another expert is best when the queries are resampled.

    --policy, at subject level: cheapest-of-tied takes the cheapest expert that the best one does not
    beat significantly (view subject_label_cheapest); abstain takes the best single expert where the
    subject's best one does not beat it significantly (view subject_label_abstain). rank: the chosen
    expert's place by mean.
    """
    from benchcoe_jobs.services.labelling.build import build_labels

    built = build_labels(
        session.store,
        Level(level),
        pool=pool,
        benchmark=benchmark,
        split=split,
        min_coverage=min_coverage,
        policy=Policy(policy),
    )
    session.show(_as_json(built), lambda: _print(session, built))


@click.command(cls=Command)
def labels(session: Session) -> None:
    """List frozen label sets, and which are stale.

    stale counts the labels of a set that the views would give otherwise today.
    """
    from benchcoe_jobs.store.labels.label_sets import label_sets

    with session.store.reading() as connection:
        sets = label_sets(connection)
    shown = sets if session.as_json else [{**row, "fingerprint": str(row["fingerprint"])[:12]} for row in sets]
    session.show_list("labels", shown)


def _as_json(built: BuiltLabels) -> dict[str, Any]:
    labels: list[dict[str, Any]] = [
        {**asdict(label), "flip_rate": built.flip_rates.get(label.subject)} for label in built.subjects
    ]
    if built.counts is not None:
        labels = [{"expert": name, "queries": count} for name, count in built.counts.by_expert.items()]
    return {
        "level": built.level.value,
        "policy": built.policy.value,
        "pool": built.scope.pool.name,
        "benchmark": built.scope.benchmark,
        "split": built.scope.split,
        "min_coverage": built.scope.pool.min_coverage,
        "fingerprint": built.frozen.fingerprint,
        "created": built.frozen.created,
        "labels": labels,
        **(
            {"n": built.counts.n, "tied": built.counts.tied, "all_wrong": built.counts.all_wrong}
            if built.counts
            else {}
        ),
        "left_out": [asdict(row) for row in built.left_out],
    }


def _print(session: Session, built: BuiltLabels) -> None:
    if built.counts is None:
        rows = [
            [
                label.subject,
                label.expert,
                percent(label.mean) + ("" if label.source == "measured" else " (reported)"),
                "-" if label.n is None else str(label.n),
                "-" if label.margin is None else percent(label.margin),
                str(label.tied),
                str(label.rank),
                percent(built.flip_rates[label.subject]) if label.subject in built.flip_rates else "-",
            ]
            for label in built.subjects
        ]
        table(rows, ["subject", "expert", "mean", "n", "margin", "tied", "rank", "flip"])
    else:
        counts = built.counts
        rows = [[name, str(count), percent(count / counts.n)] for name, count in counts.by_expert.items()]
        table(rows, ["expert", "queries", "share"])
        click.echo(
            f"{counts.n} queries, {counts.tied} with several best experts, {counts.all_wrong} with every expert wrong"
        )
    scope = built.scope
    for expert, missing in groupby(built.left_out, key=lambda row: row.expert):
        parts = [f"{row.subject} {row.n_scored}/{row.n_queries}" for row in missing]
        session.note(f"left out: {expert}, below {scope.pool.min_coverage:.0%} of {', '.join(parts)}")
    state = "new" if built.frozen.created else "as before"
    click.echo(
        f"{built.level.value} labels of pool {scope.pool.name} on {scope.benchmark}, split {scope.split}: "
        f"{built.frozen.fingerprint[:12]} ({state})"
    )
