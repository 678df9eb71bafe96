"""The note on prices that do not apply to the stored answers of an expert."""

from __future__ import annotations

import shlex

from .command import Session


def note_prices_without_counts(session: Session, name: str) -> None:
    """Print a note if the expert has prices, but answers without the counts that they need."""
    from benchcoe_jobs.store.results import experts
    from benchcoe_jobs.store.routing.answer_cost import answers_without_price

    with session.store.reading() as connection:
        expert_id, expert = experts.read_expert(connection, name)
        if all(getattr(expert, price) is None for price in experts.PRICES):
            return
        unknown, n = answers_without_price(connection, expert_id)
    if not unknown:
        return
    priced = [kind for kind, price in (("input", expert.price_in), ("output", expert.price_out)) if price is not None]
    missing = f"count of {' or '.join(priced)} tokens" if priced else "measured time"
    instead = "their cost is unknown" if expert.cost is None else f"they cost {expert.cost:g} each"
    session.note(
        f"note: the prices of {name} do not apply to {unknown} of its {n} scored answers, which have no {missing}: "
        f"{instead}. Set the cost of a query: benchcoe-jobs add-expert {shlex.quote(name)} --engine {expert.engine} "
        "--cost COST"
    )
