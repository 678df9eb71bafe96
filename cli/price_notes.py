"""The note on prices that do not apply to the stored answers of an expert."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import TYPE_CHECKING

from .command import Session

if TYPE_CHECKING:
    from benchcoe_jobs.store.results.experts import ExpertRow


def note_prices_without_counts(session: Session, names: Collection[str]) -> None:
    """Print a note for each of the experts that has prices, but answers without the counts that they need."""
    from benchcoe_jobs.store.results import experts
    from benchcoe_jobs.store.routing.answer_cost import answers_without_price

    with session.store.reading() as connection:
        for name in sorted(experts.priced(connection).intersection(names)):
            expert_id, expert = experts.read_expert(connection, name)
            unknown, n = answers_without_price(connection, expert_id)
            if unknown:
                session.note(_note(expert, unknown, n))


def _note(expert: ExpertRow, unknown: int, n: int) -> str:
    priced = [kind for kind, price in (("input", expert.price_in), ("output", expert.price_out)) if price is not None]
    missing = f"count of {' or '.join(priced)} tokens" if priced else "measured time"
    instead = "their cost is unknown" if expert.cost is None else f"they cost {expert.cost:g} each"
    return (
        f"note: the prices of {expert.name} do not apply to {unknown} of its {n} scored answers, which have no "
        f"{missing}: {instead}. Set the cost of a query: benchcoe-jobs add-expert {shlex.quote(expert.name)} --engine "
        f"{expert.engine} --cost COST"
    )
