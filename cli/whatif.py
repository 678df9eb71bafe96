"""whatif: what an expert is worth to a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchcoe_jobs.domain import ALL_POOL, Split

from .command import Command, Session, percent, table
from .label import SPLITS

if TYPE_CHECKING:
    from benchcoe_jobs.services.whatif import WhatIf

_SHOWN = {
    "best_single": "best single expert",
    "by_subject": "by subject label",
    "subject_oracle": "subject oracle",
    "oracle": "oracle",
}


@click.command(cls=Command)
@click.option("--drop", metavar="EXPERT", multiple=True, help="Without this expert; may be repeated.")
@click.option(
    "--add", metavar="EXPERT", multiple=True, help="With this expert, who is not in the pool; may be repeated."
)
@click.option("--pool", default=ALL_POOL, show_default=True)
@click.option("--benchmark", metavar="NAME", help="May be left out where there is only one.")
@click.option("--split", type=SPLITS, default=Split.TEST.value, show_default=True, help="Where it is measured.")
@click.option("--train-split", type=SPLITS, default=Split.TRAIN.value, show_default=True, help="Where labels are from.")
def whatif(
    session: Session,
    drop: tuple[str, ...],
    add: tuple[str, ...],
    pool: str,
    benchmark: str | None,
    split: str,
    train_split: str,
) -> None:
    """What an expert is worth to a pool.

    From stored scores alone: nothing is asked, trained or changed. Compares the pool as it is with what
    it would be, over the queries that everybody concerned has a score on: the best single expert, routing
    by subject label with the true subject (both chosen on the training split), and the two oracles.
    """
    from benchcoe_jobs.services.whatif import what_if

    found = what_if(
        session.store, pool=pool, benchmark=benchmark, split=split, trained_on=train_split, add=add, drop=drop
    )
    session.show(found.as_json(), lambda: _print(session, found))


def _print(session: Session, found: WhatIf) -> None:
    rows = []
    for measure, name in _SHOWN.items():
        before, after, change = getattr(found.before, measure), getattr(found.after, measure), found.change[measure]
        shown = f"{100 * change['value']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]"
        rows.append([name, percent(before), percent(after), shown])
    table(rows, ["", "before", "after", "points [95 %]"])
    changes = [*(f"with {name}" for name in found.added), *(f"without {name}" for name in found.dropped)]
    stamp = "IN-SAMPLE, " if found.split == found.trained_on else ""
    click.echo(
        f"{stamp}pool {found.pool} {' and '.join(changes)}: {found.benchmark}, split {found.split}, n = {found.n}. "
        f"Best single expert: {found.before.best_single_expert}, then {found.after.best_single_expert}"
    )
    if found.without_scores:
        session.note(f"note: {found.without_scores} queries are left out: an expert concerned has no score on them")
