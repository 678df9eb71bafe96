"""Which experts a cascade may ask, and in which order: greedy forward selection on cross-fitted worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.routers.cascades.answers import Answers, Scales
from benchcoe_jobs.routers.cascades.policy import learn
from benchcoe_jobs.routers.cascades.states import ChainView

LONGEST = 4
"""The largest number of experts of a chain."""

LEAST_GAIN = 0.0005
"""A smaller difference of worth, which is a score from 0 to 1, is taken for chance: half a question in a thousand."""


def select_chain(
    predictions: Floats,
    answers: Answers,
    scales: Scales,
    scores: Floats,
    costs: Floats,
    quality_weight: float,
    candidates: NDArray[np.intp],
) -> list[int]:
    """The numbers of the chosen candidates in the order in which they are asked.

    `predictions` (n, k) are of all experts and `candidates` the columns of the m that may be asked; the other arrays
    are (n, m), without gaps, the costs as shares of the dearest expert's. Chains of all lengths are grown, each by the
    candidate and the place that add most worth, and the shortest that is worth as much as the best is taken. A chain
    grows even if one candidate alone adds nothing: two answers that agree may tell what one does not.
    """
    chain: list[int] = []
    found: list[tuple[float, list[int]]] = []
    while len(chain) < min(LONGEST, len(candidates)):
        longer = [
            [*chain[:place], number, *chain[place:]]
            for number in range(len(candidates))
            if number not in chain
            for place in range(len(chain) + 1)
        ]
        worths = []
        for numbers in longer:
            view = ChainView(predictions[:, candidates[numbers]], predictions, answers.of(numbers), scales.of(numbers))
            fitted = learn(view, scores[:, numbers], costs[:, numbers], [quality_weight])
            worths.append(float(fitted.worth([quality_weight])[0]))
        chain = longer[int(np.argmax(worths))]
        found.append((max(worths), chain))
    most = max(worth for worth, _ in found)
    return next(chain for worth, chain in found if worth >= most - LEAST_GAIN)
