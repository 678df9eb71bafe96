"""What a file of requests will take: it is routed here, and no job is submitted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchcoe_jobs.services.batch.openai_format import read_lines, router_input
from benchcoe_jobs.services.inference.shards import micro_batch_size
from benchcoe_jobs.services.quote.quote import Quote, quote_part
from benchcoe_jobs.services.routing.decider import current_decider
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store


def quote_file(store: Store, home: Path, path: Path, router: str | None, budget: float | None) -> Quote:
    """The quote of a file, by the answers of each expert to any questions.

    Raises InputError for the file; UsageError for the router, and for a budget that is too small.
    """
    inputs = [router_input(line.url, line.body) for line in read_lines(path)]
    decider = current_decider(store, home, router)
    choices = decider.choose(inputs) if budget is None else decider.assign(inputs, budget)[0]
    parts = []
    with store.reading() as connection:
        for name, n in sorted(Counter(choice.expert for choice in choices).items()):
            expert_id, row = experts.read_expert(connection, name)
            parts.append(quote_part(connection, expert_id, None, n, micro_batch_size(row.engine)))
    return Quote(parts)
