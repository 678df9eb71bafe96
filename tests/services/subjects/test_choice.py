"""The number of clusters is the smallest one that routes as well as the best."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchcoe_jobs.services.subjects.choice import candidates, choose


def topics(n_topics: int, n: int = 400) -> tuple[dict[int, NDArray[np.intp]], NDArray[np.intp]]:
    """The topic of each of n questions, and clusters of 2, 4, 8 and 16 that merge or divide topics."""
    topic = np.arange(n) % n_topics
    return {k: topic % k if k <= n_topics else np.arange(n) % k for k in (2, 4, 8, 16)}, topic


@pytest.mark.parametrize("n_topics", [2, 4, 8])
def test_one_cluster_for_each_topic_with_an_expert_of_its_own(n_topics: int) -> None:
    codes_of, topic = topics(n_topics)
    choice = choose(codes_of, np.eye(n_topics)[topic])
    assert choice.k == n_topics
    assert (choice.accuracies[n_topics], choice.n) == (1.0, 400)
    assert choice.accuracies[1] == pytest.approx(1 / n_topics, abs=0.1)


def test_questions_without_a_score_are_left_out() -> None:
    codes_of, topic = topics(4)
    scores = np.eye(4)[topic]
    scores[::5, 0] = np.nan
    assert (choose(codes_of, scores).k, choose(codes_of, scores).n) == (4, 320)


def test_candidates_have_enough_questions() -> None:
    assert candidates(79) == []
    assert candidates(170) == [2, 3, 4]
