"""The cost of one answer, as a SQL expression over `response`, `expert` and `score`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, func

from benchcoe_jobs.store.tables import Expert, Response


def _token_cost(tokens: Any, price: Any) -> Any:
    """Tokens times their price per million: 0 without a price, null if the tokens were not counted."""
    return case((price.is_(None), 0.0), else_=tokens * price / 1e6)


_TOKEN_COST = _token_cost(Response.prompt_tokens, Expert.price_in) + _token_cost(
    Response.completion_tokens, Expert.price_out
)

ANSWER_COST = func.coalesce(
    Response.cost,
    case((func.coalesce(Expert.price_in, Expert.price_out).is_not(None), _TOKEN_COST)),
    Response.latency_s * Expert.price_gpu_second,
    Expert.cost,
)
"""The first that is known: the recorded cost, tokens by their prices, seconds by their price, the expert's cost.

The latency of an answer is that of its micro-batch, and each answer of the micro-batch counts it in full.
"""
