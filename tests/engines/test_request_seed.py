"""Seeds of sampled answers."""

from __future__ import annotations

import pytest

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.prompts import request_seed

PROMPT = (1, 2, 3)
SEEDED, UNSEEDED = Decoding(temperature=1, seed=3), Decoding(temperature=1, seed=None)


def test_without_any_seed_each_answer_has_another() -> None:
    assert len({request_seed(Request("x"), UNSEEDED, PROMPT) for _ in range(8)}) == 8


def test_the_seed_of_the_decoding_is_before_that_of_the_request() -> None:
    assert len({request_seed(Request("x", seed=n), SEEDED, PROMPT) for n in range(8)}) == 1
    own = [request_seed(Request("x", seed=n), UNSEEDED, PROMPT) for n in range(8)]
    assert len(set(own)) == 8
    assert own == [request_seed(Request("x", seed=n), UNSEEDED, PROMPT) for n in range(8)], "reproducible"
    assert own[3] == request_seed(Request("x"), SEEDED, PROMPT)


@pytest.mark.parametrize("seed", [0, -1, 1 << 63])
def test_a_seed_has_63_bits(seed: int) -> None:
    assert 0 <= request_seed(Request("x", seed=seed), UNSEEDED, PROMPT) < 1 << 63
    assert request_seed(Request("x"), Decoding(seed=0), PROMPT) != request_seed(Request("x"), Decoding(seed=0), (1, 2))
