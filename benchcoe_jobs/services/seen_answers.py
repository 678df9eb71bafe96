"""The answers that a cascade sees, as arrays: from the store, or from responses that have just been given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from benchcoe_jobs.domain import LENGTH, RouterInput
from benchcoe_jobs.routers.cascades.answers import NO_ANSWER, Answers
from benchcoe_jobs.store.routing.answers import SeenAnswer

WHOLE_TEXT = "whole text"
"""The rule of a response from which nothing was extracted: it is compared as a whole."""


def as_answers(
    rows: Iterable[SeenAnswer], query_ids: Sequence[int], expert_ids: Sequence[int], questions: Sequence[RouterInput]
) -> Answers:
    """Answers (queries, experts) to some questions; rows of other queries and experts are ignored."""
    found = Answers.none([len(question.choices) for question in questions], len(expert_ids))
    row_of = {query_id: row for row, query_id in enumerate(query_ids)}
    column_of = {expert_id: column for column, expert_id in enumerate(expert_ids)}
    codes: list[dict[str, int]] = [{} for _ in query_ids]
    for seen in rows:
        row, column = row_of.get(seen.query_id), column_of.get(seen.expert_id)
        if row is None or column is None:
            continue
        answer = seen.answer if seen.rule is not None else seen.text
        found.is_known[row, column] = True
        found.codes[row, column] = NO_ANSWER
        if answer is not None and (plain := normalised(answer)):
            found.codes[row, column] = codes[row].setdefault(plain, len(codes[row]))
        found.rules[row, column] = seen.rule if seen.rule is not None else WHOLE_TEXT
        found.lengths[row, column] = seen.length or 0
        found.is_cut[row, column] = seen.finish_reason == LENGTH
        found.costs[row, column] = np.nan if seen.cost is None else seen.cost
    return found


def normalised(answer: str) -> str:
    """An answer as it is compared with others: without case, and without differences of blanks."""
    return " ".join(answer.casefold().split())
