"""Queries that a comparison of experts leaves out, because an expert has no score on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.wording import counted

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Gap:
    """An expert that has no score on `n` of the compared queries, with their number by subject, the largest first."""

    expert: str
    n: int
    subjects: dict[str, int]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The gap back from its `asdict`."""
        return cls(**data)


def gaps_of(scores: Floats, experts: Sequence[str], subjects: Sequence[str]) -> list[Gap]:
    """The experts that lack scores, the largest gap first.

    `scores` (queries, experts) has NaN where there is none; `subjects` (queries,) are the queries' own.
    """
    found = []
    for column, expert in enumerate(experts):
        missing = [subjects[row] for row in np.flatnonzero(np.isnan(scores[:, column])).tolist()]
        if missing:
            found.append(Gap(expert, len(missing), dict(Counter(missing).most_common())))
    return sorted(found, key=lambda gap: (-gap.n, gap.expert))


def gap_note(gaps: Sequence[Gap], n_left_out: int, n_queries: int, how_to_leave: str) -> str:
    """The note on queries that are left out: who lacks scores, on which subjects, and what to do about the first."""
    named = [f"{gap.expert} on {gap.n} ({_listed([f'{s} {n}' for s, n in gap.subjects.items()])})" for gap in gaps]
    return (
        f"{n_left_out} of {counted(n_queries, 'query', 'queries')} left out, because an expert has no score there: "
        f"{_listed(named)}. To compare on all of them, {how_to_leave}"
    )


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return ", ".join(items[:_MOST_NAMED]) + more
