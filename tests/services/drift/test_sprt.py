"""The error rates of the test of agreement, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from benchcoe_jobs.services.drift.sprt import AgreementTest, Verdict, own_agreement

TRIALS = 3000


def verdicts(p0: float, agreement: float) -> tuple[dict[Verdict, int], float]:
    """How often each verdict is reached with answers of an agreement, and the mean number of answers."""
    rng = np.random.default_rng(0)
    found = dict.fromkeys(Verdict, 0)
    n = []
    for _ in range(TRIALS):
        test = AgreementTest(p0)
        for agrees in rng.random(400) < agreement:
            if test.count(bool(agrees)) is not Verdict.UNDECIDED:
                break
        found[test.verdict] += 1
        n.append(test.n)
    return found, float(np.mean(n))


@pytest.mark.parametrize("p0", [0.9, 0.95, 0.7])
def test_error_rates_are_those_promised(p0: float) -> None:
    """Of 3,000 trials, 3 errors are expected at most, and 10 or fewer with a probability of 99.97 %."""
    same, n_same = verdicts(p0, p0)
    changed, n_changed = verdicts(p0, p0 - 0.2)
    assert same[Verdict.DRIFTED] <= 10
    assert changed[Verdict.SAME] <= 10
    assert same[Verdict.UNDECIDED] + changed[Verdict.UNDECIDED] <= TRIALS * 0.02
    assert max(n_same, n_changed) < 110


def test_another_model_is_found_within_tens_of_questions() -> None:
    found, n = verdicts(0.9, 0.57)  # Meta-Llama-3-8B and 3.1-8B on MMLU-Pro
    assert found[Verdict.DRIFTED] == TRIALS
    assert n < 30


def test_the_agreement_to_test_against() -> None:
    assert own_agreement(0, 0) == 0.9
    assert own_agreement(50, 50) == pytest.approx(0.05 ** (1 / 50))
    assert own_agreement(100_000, 100_000) == 0.99
    assert own_agreement(0, 50) == 0.3
