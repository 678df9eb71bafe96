"""Numbers and percentages in messages."""

from __future__ import annotations

import pytest

from benchcoe_jobs.wording import counted, percent


@pytest.mark.parametrize(("n", "text"), [(0, "0 queries"), (1, "1 query"), (2, "2 queries")])
def test_a_number_has_its_noun(n: int, text: str) -> None:
    assert counted(n, "query", "queries") == text


def test_the_plural_of_a_noun_adds_an_s() -> None:
    assert (counted(1, "shard"), counted(2, "shard")) == ("1 shard", "2 shards")


def test_a_percentage_has_a_blank_before_its_sign() -> None:
    assert percent(0.12345) == "12.3 %"
    assert percent(0.97, 0) == "97 %"
