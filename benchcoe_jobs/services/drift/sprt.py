"""Wald's sequential probability ratio test of the agreement of an expert with its stored answers.

A. Wald, Sequential Tests of Statistical Hypotheses, Annals of Mathematical Statistics 16 (1945).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy.stats import beta

ERROR_RATE = 0.001
"""Of both errors: to call the same expert another one, and to call another one the same."""

LEAST_CHANGE = 0.2
"""The drop of the agreement that the test looks for."""

USUAL_AGREEMENT = 0.9
"""Of an expert with itself, if it was not measured."""

_HIGHEST, _LOWEST = 0.99, 0.3


class Verdict(StrEnum):
    """What the test says."""

    SAME = "same"
    DRIFTED = "drifted"
    UNDECIDED = "undecided"


@dataclass
class AgreementTest:
    """The test while answers are compared one by one: `p0` against `p0 - LEAST_CHANGE`.

    `n` answers were counted, of which `agreed` agree. The expected error rates are at most `ERROR_RATE` if the answers
    are independent.
    """

    p0: float
    n: int = 0
    agreed: int = 0
    _log_ratio: float = 0.0

    @property
    def p1(self) -> float:
        """The agreement of an expert that has changed."""
        return self.p0 - LEAST_CHANGE

    def count(self, agrees: bool) -> Verdict:
        """Count one more answer. The verdict is undecided until a bound is reached."""
        self.n += 1
        self.agreed += agrees
        ratio = self.p1 / self.p0 if agrees else (1 - self.p1) / (1 - self.p0)
        self._log_ratio += math.log(ratio)
        return self.verdict

    @property
    def verdict(self) -> Verdict:
        """The verdict by the answers so far."""
        bound = math.log((1 - ERROR_RATE) / ERROR_RATE)
        if self._log_ratio >= bound:
            return Verdict.DRIFTED
        return Verdict.SAME if self._log_ratio <= -bound else Verdict.UNDECIDED


def own_agreement(agreed: int, n: int) -> float:
    """The agreement of an expert with itself to test against: the lower 95 % bound of `agreed` of `n`.

    The bound is that of Clopper and Pearson; with `n` 0 it is `USUAL_AGREEMENT`. It is kept where the test has room on
    both sides.
    """
    lower = float(beta.ppf(0.05, agreed, n - agreed + 1)) if agreed else 0.0
    return min(max(lower if n else USUAL_AGREEMENT, _LOWEST), _HIGHEST)
