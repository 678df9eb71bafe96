"""The experts whose answers came with their questions, so that their rows are in the order of the questions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FEWEST_ANSWERS = 30
"""Fewer answers than this say nothing about an expert."""
SIGMAS = 5
"""An expert is trusted if it is right more often than by chance by more than this many standard errors."""


def trusted_experts(answers: Sequence[Any], subject_of: Mapping[int, str]) -> set[int]:
    """The ids of the experts whose answers, scored here, are right more often than by chance.

    `answers` are rows of `repairs.extracted_answers`; `subject_of` maps query id -> subject. Chance is the share of
    right answers if each answer stood beside every other question of its subject: if the rows were in another order,
    an expert would be right no more often.
    """
    of_expert: dict[int, list[Any]] = defaultdict(list)
    for row in answers:
        of_expert[row.expert_id].append(row)
    return {expert_id for expert_id, rows in of_expert.items() if _is_trusted(rows, subject_of)}


def _is_trusted(rows: Sequence[Any], subject_of: Mapping[int, str]) -> bool:
    of_subject: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        of_subject[subject_of[row.query_id]].append(row)
    right, by_chance, n = 0.0, 0.0, 0
    for part in of_subject.values():
        if len(part) > 1:
            right += sum(row.value for row in part)
            by_chance += _right_by_chance(part)
            n += len(part)
    if n < FEWEST_ANSWERS:
        return False
    share = by_chance / n
    return right - by_chance > SIGMAS * float(np.sqrt(max(n * share * (1 - share), 1.0)))


def _right_by_chance(rows: Sequence[Any]) -> float:
    """The expected number of right answers if each answer stood beside a random other question of the rows."""
    given = Counter(row.answer for row in rows if row.answer is not None)
    right = Counter(row.right for row in rows if row.right is not None)
    own = sum(row.answer is not None and row.answer == row.right for row in rows)
    pairs = sum(count * right[answer] for answer, count in given.items())
    return float(pairs - own) / (len(rows) - 1)
