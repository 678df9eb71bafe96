"""What one answer costs, as a SQL expression."""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, func

from benchcoe_jobs.store.tables import (
    Expert,
    Response,
)


def _bill(tokens: Any, price: Any) -> Any:
    """Tokens by their price; nothing where they have none, unknown where nobody counted them."""
    return case((price.is_(None), 0.0), else_=tokens * price / 1e6)


_TOKENS = _bill(Response.prompt_tokens, Expert.price_in) + _bill(Response.completion_tokens, Expert.price_out)


# Of one answer: as recorded, else its tokens by their prices, else its seconds by theirs, else what a query
# costs with this expert. The latency of an answer out of a batch is the batch's, and counts in full.
ANSWER_COST = func.coalesce(
    Response.cost,
    case((func.coalesce(Expert.price_in, Expert.price_out).is_not(None), _TOKENS)),
    Response.latency_s * Expert.price_gpu_second,
    Expert.cost,
)
