"""An expert is trusted if its scored answers fit their questions better than other questions of the subject."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from benchcoe_jobs.services.audit.trusted_experts import trusted_experts

N = 200
RIGHT = ["ABCD"[random.Random(i).randrange(4)] for i in range(N)]


def answers(expert_id: int, given: list[str | None]) -> list[Any]:
    return [
        SimpleNamespace(expert_id=expert_id, query_id=i, answer=answer, right=RIGHT[i], value=float(answer == RIGHT[i]))
        for i, answer in enumerate(given)
    ]


def trusted(*rows: list[Any], subjects: int = 2) -> set[int]:
    return trusted_experts([row for of in rows for row in of], {i: f"s{i % subjects}" for i in range(N)})


def test_answers_beside_their_questions_are_right_more_often_than_by_chance() -> None:
    half_right: list[str | None] = [right if i % 2 else "A" for i, right in enumerate(RIGHT)]
    in_log_order = [half_right[i] for worker in range(4) for i in range(worker, N, 4)]
    assert trusted(answers(1, half_right), answers(2, in_log_order)) == {1}


def test_an_expert_that_always_gives_the_most_frequent_answer_is_not_trusted() -> None:
    always: list[str | None] = ["A"] * N
    assert trusted(answers(1, always)) == set()
    assert trusted(answers(1, [*RIGHT[:100], *always[100:]])) == {1}


def test_few_answers_or_none_say_nothing() -> None:
    assert trusted(answers(1, list(RIGHT[:29]))) == set()
    assert trusted(answers(1, [None] * N)) == set()
    assert trusted(answers(1, list(RIGHT)), subjects=N) == set(), "one answer of each subject"
    assert trusted() == set()
