"""The best that several ways to answer give at a cost."""

from __future__ import annotations

import numpy as np

from benchcoe_jobs.arrays import Floats


def best_mix(scores: Floats, costs: Floats, cost: float) -> Floats:
    """The scores (n,) of the most accurate random mix of two ways that costs on average at most `cost`.

    `scores` and `costs` are (n, ways). If every way costs more, it is the cheapest way. The mix is chosen in hindsight,
    on the questions themselves.
    """
    mean_scores, mean_costs = scores.mean(axis=0), costs.mean(axis=0)
    cheap = np.flatnonzero(mean_costs <= cost)
    if not len(cheap):
        return np.array(scores[:, int(mean_costs.argmin())])
    low = int(cheap[mean_scores[cheap].argmax()])
    best, mix = mean_scores[low], np.array(scores[:, low])
    dear = np.flatnonzero(mean_costs > cost)
    for low in cheap.tolist():
        share = (cost - mean_costs[low]) / (mean_costs[dear] - mean_costs[low])
        values = (1 - share) * mean_scores[low] + share * mean_scores[dear]
        if len(dear) and values.max() > best:
            high = int(values.argmax())
            best = values[high]
            mix = (1 - share[high]) * scores[:, low] + share[high] * scores[:, dear[high]]
    return mix
