"""A question that is too long is cut before its end: the question itself and its first options stay."""

from __future__ import annotations

import pytest

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.routers.window import readable


@pytest.fixture(scope="module")
def tokenizer(encoder: str) -> object:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(encoder)


LONG = "the old story goes on. " * 200
QUESTION = "Which colour was the lighthouse?"
OPTIONS = ("red", "white", "green")


def test_the_question_and_its_options_stay(tokenizer: object) -> None:
    [text] = readable([RouterInput(LONG + QUESTION, OPTIONS)], tokenizer, 64)
    assert text.endswith(f"{QUESTION}\nred\nwhite\ngreen")
    assert text.startswith(("story", "the", "old", "goes", "on", "."))
    assert len(tokenizer(text)["input_ids"]) == 64


def test_a_question_that_fits_is_not_cut(tokenizer: object) -> None:
    [text] = readable([RouterInput(QUESTION, OPTIONS)], tokenizer, 64)
    assert text == f"{QUESTION}\nred\nwhite\ngreen"


def test_long_options_leave_half_of_the_window_to_the_question(tokenizer: object) -> None:
    [text] = readable([RouterInput(LONG + QUESTION, tuple(f"option number {n}" for n in range(500)))], tokenizer, 64)
    assert f"{QUESTION}\noption number 0\noption number 1\n" in text
    assert len(tokenizer(text)["input_ids"]) == 64
    [text] = readable([RouterInput(QUESTION, ("very " * 1000,))], tokenizer, 64)
    assert text.startswith(QUESTION)
    assert len(tokenizer(text)["input_ids"]) == 64
