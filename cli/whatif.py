"""The command whatif: the accuracy of a pool with or without an expert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchcoe_jobs.domain import ALL_POOL, Split
from benchcoe_jobs.wording import percent

from .command import Command, Session, table
from .label import SPLITS
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.whatif import WhatIf

_MEASURES = {
    "best_single": "best single expert",
    "by_subject": "by subject label",
    "subject_oracle": "subject oracle",
    "oracle": "oracle",
}


@click.command(cls=Command)
@click.option("--drop", metavar="EXPERT", multiple=True, help="Remove this expert. May be repeated.")
@click.option(
    "--add", metavar="EXPERT", multiple=True, help="Add this expert, which is not in the pool. May be repeated."
)
@click.option("--pool", default=ALL_POOL, show_default=True, help="The pool to compare.")
@click.option("--benchmark", metavar="NAME", help="The benchmark. [the only one in the store]")
@click.option("--split", type=SPLITS, default=Split.TEST.value, show_default=True, help="Split to measure on.")
@click.option("--train-split", type=SPLITS, default=Split.TRAIN.value, show_default=True, help="Split of the labels.")
def whatif(
    session: Session,
    drop: tuple[str, ...],
    add: tuple[str, ...],
    pool: str,
    benchmark: str | None,
    split: str,
    train_split: str,
) -> None:
    """Estimate what an expert adds to a pool.

    Compares the pool with the changed pool over the queries for which all compared experts have a score. The
    measures are the best single expert and routing by the label of the true subject (both chosen on the
    training split), and the two oracles. Only stored scores are used; no expert is asked, no router is trained
    and the store is not changed.
    """
    from benchcoe_jobs.services.whatif import what_if

    found = what_if(
        session.store, pool=pool, benchmark=benchmark, split=split, trained_on=train_split, add=add, drop=drop
    )
    session.show(found.as_json(), lambda: _print(session, found))


def _print(session: Session, found: WhatIf) -> None:
    rows = []
    for measure, name in _MEASURES.items():
        before, after, change = getattr(found.before, measure), getattr(found.after, measure), found.change[measure]
        points = f"{100 * change['value']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]"
        rows.append([name, percent(before), percent(after), points])
    table(rows, ["", "before", "after", "points [95 %]"])
    changes = [*(f"with {name}" for name in found.added), *(f"without {name}" for name in found.dropped)]
    stamp = "IN-SAMPLE, " if found.split == found.trained_on else ""
    echo(
        f"{stamp}pool {found.pool} {' and '.join(changes)}: {found.benchmark}, split {found.split}, n = {found.n}. "
        f"Best single expert: {found.before.best_single_expert}, then {found.after.best_single_expert}"
    )
    if found.gap_note is not None:
        session.note(f"note: {found.gap_note}")
