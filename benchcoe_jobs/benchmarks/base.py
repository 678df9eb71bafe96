"""What every benchmark offers to the jobs."""

from __future__ import annotations

from typing import Protocol

from benchcoe_jobs.domain import Judgement, Query


class Benchmark(Protocol):
    """What to ask and how to score it."""

    name: str
    subjects: tuple[str, ...]

    def judge(self, text: str, query: Query) -> Judgement:
        """Score a response in [0, 1]. Never guesses, and never raises, whatever the text."""
        ...
