"""Clusters find topics, name them by their words, and put new questions into the nearest one."""

from __future__ import annotations

import numpy as np
import pytest

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.routers.base import TrainingContext
from benchcoe_jobs.services.subjects.clusters import Clusters, learn_centres, learn_vectors, nearest, telling_names

TOPICS = {
    "law": ["the court heard a contract dispute", "a lawyer in court read the contract", "contract law in this court"],
    "cooking": ["stir the soup and add salt", "salt the onion soup", "which soup needs salt and pepper"],
    "cosmos": ["a planet orbits the star", "the star is far from each planet", "how hot is a planet near its star"],
}
TEXTS = [RouterInput(text) for texts in TOPICS.values() for text in texts]


def learned() -> Clusters:
    vectors = learn_vectors(TEXTS, TrainingContext())
    centres = learn_centres(vectors(TEXTS), 3)
    return Clusters(vectors, centres, telling_names(TEXTS, nearest(vectors(TEXTS), centres), 3))


def test_topics_are_found_and_named_by_their_words() -> None:
    clusters = learned()
    assigned = clusters.assign(TEXTS)
    assert [len(set(assigned[start : start + 3])) for start in (0, 3, 6)] == [1, 1, 1]
    assert len(set(assigned)) == 3
    words = [set(name.split(", ")) for name in (assigned[0], assigned[3], assigned[6])]
    assert {"contract", "court"} <= words[0]
    assert {"soup", "salt"} <= words[1]
    assert {"planet", "star"} <= words[2]


def test_new_questions_go_to_the_nearest_cluster() -> None:
    clusters = learned()
    assert clusters.assign([RouterInput("is the soup too salty, or is salt missing")]) == [clusters.assign(TEXTS)[3]]


def test_the_same_questions_make_the_same_clusters() -> None:
    first, second = learned(), learned()
    assert first.names == second.names
    np.testing.assert_array_equal(first.centres, second.centres)


def test_names_are_different_and_never_that_of_the_origin() -> None:
    questions = [RouterInput("alpha beta gamma"), RouterInput("of the and"), RouterInput("???")]
    codes = np.array([0, 1, 2], dtype=np.intp)
    names = telling_names(questions, codes, 3, taken=["alpha, beta, gamma"])
    assert names == ("alpha, beta, gamma (1)", "cluster 2", "cluster 3")
    assert telling_names([RouterInput("??")], np.array([0]), 1) == ("cluster 1",)


def test_long_runs_of_letters_are_no_names() -> None:
    questions = [RouterInput("a" * 10_000 + " alpha"), RouterInput("b" * 10_000)]
    assert telling_names(questions, np.array([0, 1]), 2) == ("alpha", "cluster 2")


def test_questions_with_the_same_words_are_not_divided() -> None:
    for texts in (["word"] * 8, ["some more words"] * 8, ["some words", "Some  words"]):
        with pytest.raises(UsageError, match="the same words"):
            learn_vectors([RouterInput(text) for text in texts], TrainingContext())


def test_one_word_divides_questions_that_have_it_from_those_that_do_not() -> None:
    questions = [RouterInput(text) for text in ("word", "?", "word!", "??")]
    vectors = learn_vectors(questions, TrainingContext())(questions)
    codes = nearest(vectors, learn_centres(vectors, 2))
    assert codes[0] == codes[2] != codes[1] == codes[3]
