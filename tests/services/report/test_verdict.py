"""The first sentence, for each answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchcoe_jobs.services.report.verdict import Answer, Measured, verdict

MEASURED = Measured("router r", "ann", 0.662, 0.0102, 0.0003, 0.0198, 3037, "held-out questions", 1.18, 0.891)


def test_the_sentence_has_gain_interval_n_cost_and_oracle() -> None:
    assert verdict(MEASURED).sentence == (
        "Routing pays: router r gains +1.02 points, 95 % interval [+0.03, +1.98], over the best single expert, ann "
        "(66.2 %), on 3,037 held-out questions, at 1.18 of its cost; an oracle reaches 89.1 %."
    )


def test_the_sentence_says_what_is_saved() -> None:
    found = verdict(replace(MEASURED, saving="has the same accuracy at 52 % of its cost"))
    assert "; it has the same accuracy at 52 % of its cost; an oracle reaches" in found.sentence


@pytest.mark.parametrize(
    ("changes", "answer", "part"),
    [
        ({"low": -0.001}, Answer.NO, "Do not route: "),
        ({"low": 0.0}, Answer.NO, "the interval does not lie above zero"),
        ({"gain": -0.02, "low": -0.03, "high": -0.01}, Answer.NO, "loses significantly"),
        ({"low": -0.009, "cost_ratio": 0.5}, Answer.CHEAPER, "takes 0.50 of the cost of the best single expert"),
        ({"low": -0.011, "cost_ratio": 0.5}, Answer.NO, "at 0.50 of its cost"),
        ({"low": -0.009, "cost_ratio": 0.99}, Answer.NO, "Do not route: "),
        ({"cost_ratio": None}, Answer.MORE_ACCURATE, "costs are unknown"),
    ],
)
def test_a_router_pays_only_if_the_interval_shows_it(changes: dict[str, float], answer: Answer, part: str) -> None:
    found = verdict(replace(MEASURED, **changes))
    assert found.answer == answer
    assert part in found.sentence
