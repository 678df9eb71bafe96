"""What a cascade sees of stored answers: the extracted answer and how it came about, never its score."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, or_, select

from benchcoe_jobs.store.routing.answer_cost import ANSWER_COST
from benchcoe_jobs.store.tables import Expert, Extraction, Response, Score, Stratum, Subject


class SeenAnswer(NamedTuple):
    """An expert's answer to a query. A named tuple, because there is one for every response.

    `rule` is the rule that extracted `answer`; without a rule, `text` is the whole response. `length` is that of the
    response in characters, None if its text is not stored. `cost` is `ANSWER_COST`, None if it is unknown.
    """

    query_id: int
    expert_id: int
    rule: str | None
    answer: str | None
    text: str | None
    length: int | None
    finish_reason: str | None
    cost: float | None


def seen_answers(
    connection: Connection, benchmark_id: int, split: str, expert_ids: Collection[int]
) -> Iterable[SeenAnswer]:
    """The scored answers of some experts on a split, of which a response or an extracted answer is stored."""
    rows: Any = connection.execute(
        select(
            Score.query_id,
            Score.expert_id,
            Extraction.rule,
            Extraction.answer,
            case((Extraction.rule.is_(None), Response.text)),
            func.length(Response.text),
            Response.finish_reason,
            ANSWER_COST,
        )
        .join(Stratum, Stratum.id == Score.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .join(Expert, Expert.id == Score.expert_id)
        .outerjoin(Response, (Response.run_id == Score.run_id) & (Response.query_id == Score.query_id))
        .outerjoin(Extraction, (Extraction.expert_id == Score.expert_id) & (Extraction.query_id == Score.query_id))
        .where(
            Score.expert_id.in_(expert_ids),
            Subject.benchmark_id == benchmark_id,
            Stratum.split == split,
            or_(Extraction.rule.is_not(None), Response.text.is_not(None)),
        )
        .execution_options(yield_per=5_000)
    )
    return (SeenAnswer(*row) for row in rows)
