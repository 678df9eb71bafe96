"""The commands build-labels and labels."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.domain import ALL_POOL, Level, Policy, Split
from benchcoe_jobs.wording import counted, percent

from .command import Command, Finite, Session, table
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.labelling.build import BuiltLabels

LEVELS = click.Choice([level.value for level in Level])
SPLITS = click.Choice([split.value for split in Split])
POLICIES = click.Choice([policy.value for policy in Policy])


@click.command(cls=Command)
@click.option("--level", type=LEVELS, required=True, help="Label each subject or each query with its best expert.")
@click.option("--pool", default=ALL_POOL, show_default=True, help="Pool of experts to choose from.")
@click.option("--benchmark", metavar="NAME", help="The benchmark. [the only one in the store]")
@click.option("--split", type=SPLITS, default=Split.TRAIN.value, show_default=True, help="Split of the scores.")
@click.option(
    "--min-coverage",
    type=Finite(0, 1, min_open=True),
    help="Share of a subject's queries for which an expert needs scores. Stored with the pool. [0.95]",
)
@click.option(
    "--policy",
    type=POLICIES,
    default=Policy.BEST.value,
    show_default=True,
    help="Which expert a subject is labelled with if the best one is not significantly better.",
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

    The labels come from the SQL views subject_label and query_label. This command stores a copy of them
    under a fingerprint. Ties are broken by the expert's mean on the subject (query level only), then by the
    lower cost, then by name. The column flip is the share of resamplings of the queries in which another
    expert is best; rank is the rank of the chosen expert by mean.

    --policy applies to the subject level. cheapest-of-tied chooses the cheapest expert that is not
    significantly worse than the best one (view subject_label_cheapest). abstain chooses the best single
    expert if the best expert of the subject is not significantly better (view subject_label_abstain).
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
    """List frozen label sets, with their numbers of stale labels.

    A label is stale if the label views now give another expert, or if its expert is marked as drifted.
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
        labels += [{"expert": None, "queries": built.counts.all_wrong}] if built.counts.all_wrong else []
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
        "early_stops": [asdict(row) for row in built.early_stops],
        "imported": {share.expert: share.imported for share in built.origins if share.imported},
    }


def _print(session: Session, built: BuiltLabels) -> None:
    from benchcoe_jobs.services.origins import imported_note

    scope = built.scope
    if built.counts is None:
        rows = _subject_rows(built)
        table(rows, ["subject", "expert", "mean", "n", "margin", "tied", "rank", "flip"])
    else:
        counts = built.counts
        shown = counts.by_expert | ({"(none)": counts.all_wrong} if counts.all_wrong else {})
        rows = [[name, str(count), percent(count / counts.n)] for name, count in shown.items()]
        table(rows, ["expert", "queries", "share"])
        echo(
            f"{counted(counts.n, 'query', 'queries')}, {counts.tied} with several best experts, "
            f"{counts.all_wrong} with every expert wrong"
        )
    unearned = [label.subject for label in built.subjects if label.expert is None]
    if unearned:
        to = f"the best single expert, {built.best_single}" if built.best_single else "the best single expert"
        session.note(
            f"note: no expert is better than another on {', '.join(unearned)}: questions of "
            f"{'this subject' if len(unearned) == 1 else 'these subjects'} go to {to}"
        )
    for expert, subjects in groupby(built.left_out, key=lambda row: row.expert):
        scored = ", ".join(f"{row.subject} ({row.n_scored} of {row.n_queries} queries scored)" for row in subjects)
        session.note(f"note: {expert} is left out, below {100 * scope.pool.min_coverage:g} % coverage: {scored}")
    for expert, stops in groupby(built.early_stops, key=lambda row: row.expert):
        settled = ", ".join(f"{row.subject} ({row.n} of {row.n_queries})" for row in stops)
        session.note(f"note: the labels are settled after a part of the queries of {expert}: {settled}")
    if note := imported_note(built.origins):
        session.note(f"note: {note}")
    state = "new" if built.frozen.created else "unchanged"
    echo(
        f"{built.level.value} labels of pool {scope.pool.name} on {scope.benchmark}, split {scope.split}: "
        f"{built.frozen.fingerprint[:12]} ({state})"
    )


def _subject_rows(built: BuiltLabels) -> list[list[str]]:
    return [
        [
            label.subject,
            label.expert or "(none)",
            percent(label.mean) + ("" if label.source == "measured" else f" ({label.source})"),
            "-" if label.n is None else str(label.n),
            "-" if label.margin is None else percent(label.margin),
            str(label.tied),
            str(label.rank),
            percent(built.flip_rates[label.subject]) if label.subject in built.flip_rates else "-",
        ]
        for label in built.subjects
    ]
