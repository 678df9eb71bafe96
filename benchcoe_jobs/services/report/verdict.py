"""The first sentence of a report: whether a router pays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from benchcoe_jobs.wording import percent

SAME = 0.01
"""A router is as accurate as an expert if the interval of its gain lies above minus this: one point."""

_CHEAPER = 0.95
"""A router is cheaper if it costs at most this share."""


class Answer(StrEnum):
    """Whether a router pays: by its accuracy, by its cost alone, not at all; or it was not measured."""

    MORE_ACCURATE = "more accurate"
    CHEAPER = "cheaper"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Measured:
    """A way to route beside the best single expert, on the same `n` questions.

    `router` is its name or description, as the subject of a sentence. Accuracies and gains are fractions; `low` and
    `high` are the 95 % interval of `gain`. `cost_ratio` is its mean cost of a question divided by that of the best
    single expert, None if unknown. `where` says which questions these are. `saving` is what it has at other quality
    weights, see `Frontiers.headline`; None if unknown.
    """

    router: str
    best_single: str
    best_single_accuracy: float
    gain: float
    low: float
    high: float
    n: int
    where: str
    cost_ratio: float | None
    oracle: float
    saving: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and the sentence that gives it. `caveat` says why the figure in it may be wrong, if it may."""

    answer: Answer
    sentence: str
    caveat: str = ""


def verdict(measured: Measured) -> Verdict:
    """Whether a way to route pays.

    It does if its gain is significantly above zero, or if it is cheaper and at most `SAME` less accurate.
    """
    m = measured
    points = f"{100 * m.gain:+.2f} points, 95 % interval [{100 * m.low:+.2f}, {100 * m.high:+.2f}],"
    against = f"the best single expert, {m.best_single} ({percent(m.best_single_accuracy)}),"
    where = f"on {m.n:,} {m.where}"
    cost = "; costs are unknown" if m.cost_ratio is None else f", at {m.cost_ratio:.2f} of its cost"
    oracle = f"; an oracle reaches {percent(m.oracle)}"
    if m.saving:
        oracle = f"; it {m.saving}{oracle}"
    if m.low > 0:
        return Verdict(
            Answer.MORE_ACCURATE, f"Routing pays: {m.router} gains {points} over {against} {where}{cost}{oracle}."
        )
    if m.cost_ratio is not None and m.cost_ratio <= _CHEAPER and m.low > -SAME:
        return Verdict(
            Answer.CHEAPER,
            f"Routing pays by its cost: {m.router} takes {m.cost_ratio:.2f} of the cost of {against} {where}, and its "
            f"accuracy differs by {points} which is less than {100 * SAME:g} point below{oracle}.",
        )
    reason = "loses significantly" if m.high < 0 else "the interval does not lie above zero"
    return Verdict(
        Answer.NO, f"Do not route: {m.router} gains {points} over {against} {where}{cost}; {reason}{oracle}."
    )
