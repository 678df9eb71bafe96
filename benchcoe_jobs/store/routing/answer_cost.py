"""The cost of one answer, as a SQL expression over `response`, `expert` and `score`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, case, func, select

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.tables import Expert, Response, Run, Score


def _token_cost(tokens: Any, price: Any) -> Any:
    """Tokens times their price per million: 0 without a price, null if the tokens were not counted."""
    return case((price.is_(None), 0.0), else_=tokens * price / 1e6)


_TOKEN_COST = _token_cost(Response.prompt_tokens, Expert.price_in) + _token_cost(
    Response.completion_tokens, Expert.price_out
)

_KNOWN_OF_ANSWER = (
    Response.cost,
    case((func.coalesce(Expert.price_in, Expert.price_out).is_not(None), _TOKEN_COST)),
    Response.latency_s * Expert.price_gpu_second,
)

ANSWER_COST = func.coalesce(*_KNOWN_OF_ANSWER, Expert.cost)
"""The first that is known: the recorded cost, tokens by their prices, seconds by their price, the expert's cost.

The latency of an answer is that of its micro-batch, and each answer of the micro-batch counts it in full.
"""


def answers_without_price(connection: Connection, expert_id: int) -> tuple[int, int]:
    """(scored answers of an expert to which its prices do not apply, all of its scored answers).

    A price of tokens does not apply to an answer whose tokens were not counted, nor a price of seconds to one whose
    time was not measured.
    """
    unknown, n = connection.execute(
        select(func.count().filter(func.coalesce(*_KNOWN_OF_ANSWER).is_(None)), func.count())
        .select_from(Score)
        .join(Expert, Expert.id == Score.expert_id)
        .outerjoin(Response, (Response.run_id == Score.run_id) & (Response.query_id == Score.query_id))
        .where(Score.expert_id == expert_id)
    ).one()
    return unknown, n


def spent(connection: Connection, expert_id: int, after: int) -> float:
    """The cost of the answers of an expert whose ids are higher than `after`.

    Raises UsageError if the cost of one is not known.
    """
    cost, unknown = connection.execute(
        select(func.sum(ANSWER_COST), func.count().filter(ANSWER_COST.is_(None)))
        .select_from(Response)
        .join(Run, Run.id == Response.run_id)
        .join(Expert, Expert.id == Run.expert_id)
        .where(Run.expert_id == expert_id, Response.id > after, Response.error.is_(None))
    ).one()
    if unknown:
        raise UsageError(
            f"the cost of {unknown} answers is not known, because their tokens were not counted or their time not "
            "measured: set the cost of a query with `benchcoe-jobs add-expert --cost`, or leave out --max-cost"
        )
    return float(cost or 0.0)
