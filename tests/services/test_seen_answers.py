"""Stored answers as arrays: what is compared, and what is ignored."""

from __future__ import annotations

import numpy as np

from benchcoe_jobs.domain import LENGTH, RouterInput
from benchcoe_jobs.routers.cascades.answers import NO_ANSWER
from benchcoe_jobs.services.seen_answers import WHOLE_TEXT, as_answers
from benchcoe_jobs.store.routing.answers import SeenAnswer


def test_answers_are_compared_as_extracted_or_as_a_whole() -> None:
    rows = [
        SeenAnswer(1, 7, "answer is", "B", None, 20, "stop", 0.5),
        SeenAnswer(1, 8, "last letter", "b", None, 10, LENGTH, None),
        SeenAnswer(1, 9, "none", None, None, 5, None, None),
        SeenAnswer(2, 7, None, None, "Forty  two\n", 11, None, None),
        SeenAnswer(2, 8, None, None, "forty two", 9, None, None),
        SeenAnswer(3, 7, "answer is", "B", None, 20, None, None),  # another query
        SeenAnswer(2, 6, "answer is", "B", None, 20, None, None),  # another expert
    ]
    found = as_answers(rows, [1, 2], [7, 8, 9], [RouterInput("q", ("x", "y")), RouterInput("r")])
    np.testing.assert_array_equal(found.is_known, [[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(found.codes, [[0, 0, NO_ANSWER], [0, 0, NO_ANSWER]])
    assert found.rules[1, 0] == WHOLE_TEXT
    np.testing.assert_array_equal(found.is_cut, [[False, True, False], [False, False, False]])
    np.testing.assert_array_equal(found.n_choices, [2, 0])
    assert found.costs[0, 0] == 0.5
    assert np.isnan(found.costs[0, 1])
    assert found.lengths[0, 0] == 20
