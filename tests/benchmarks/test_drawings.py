"""The benchmark drawings: its pictures are reproducible, have correct answers, and are not in the training data."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.drawings import Drawings
from benchcoe_jobs.demo.pictures.canvas import PLAIN
from benchcoe_jobs.demo.pictures.questions import SAME_WORDS, SUBJECTS, drawing, write_pictures
from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import InputError


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> list[Query]:
    folder = tmp_path_factory.mktemp("drawings")
    write_pictures(folder, per_subject=12)
    return list(Drawings().load(folder))


def test_the_questions_are_reproducible_and_different(queries: list[Query], tmp_path: Path) -> None:
    write_pictures(tmp_path, per_subject=12)
    assert list(Drawings().load(tmp_path)) == queries
    assert len({query.images for query in queries}) == len(queries) == 12 * len(SUBJECTS)
    assert {query.subject for query in queries} == set(Drawings.subjects) == set(SUBJECTS)


def test_half_of_the_subjects_have_the_same_text(queries: list[Query]) -> None:
    same = {query.text for query in queries if query.subject in SAME_WORDS}
    assert len(same) == 1
    assert all((query.text in same) == (query.subject in SAME_WORDS) for query in queries)
    assert 2 * len(SAME_WORDS) == len(SUBJECTS)


def test_another_style_has_other_words_and_other_pictures(queries: list[Query], tmp_path: Path) -> None:
    write_pictures(tmp_path, per_subject=3, other_style=True, subjects=("dice", "places"))
    others = list(Drawings().load(tmp_path))
    assert [query.subject for query in others] == ["dice"] * 3 + ["places"] * 3
    assert not {query.text for query in others} & {query.text for query in queries}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_training_pictures_ask_for_no_fact_of_the_test(subject: str) -> None:
    rng = random.Random(0)
    taught, tested = (
        {
            (one.subject, one.fact)
            for _ in range(60)
            for one in drawing(subject, rng, PLAIN, held_out=held_out).questions
        }
        for held_out in (False, True)
    )
    assert tested
    assert not taught & tested


@pytest.mark.parametrize(
    ("text", "score"), [(" 7", 1.0), ("7\nQ: next", 1.0), ("17", 0.0), ("seven", 0.0), ("", 0.0), ("\n7", 1.0)]
)
def test_the_first_line_is_the_answer(text: str, score: float) -> None:
    assert Drawings().score(text, Query("a", "dice", "?", answer="7")).score == score


def test_the_prompt_has_the_picture() -> None:
    request = Drawings().request(Query("a", "dice", "How many?", images=(b"png",)), NO_SHOTS)
    assert (request.images, request.question) == ((b"png",), "Q: How many?\nA:")


def test_a_row_without_a_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"id": "a", "subject": "dice", "question": "?", "answer": "1"}\n')
    with pytest.raises(InputError, match="row 1: image is missing"):
        list(Drawings().load(tmp_path / "q.jsonl"))
