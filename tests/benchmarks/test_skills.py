"""The benchmark skills: its questions are reproducible, have correct answers, and are not in the training data."""

from __future__ import annotations

import json
import random
import re
from datetime import datetime
from itertools import islice
from pathlib import Path

import pytest

from benchcoe_jobs import demo
from benchcoe_jobs.benchmarks.base import NO_ANSWER, NO_SHOTS
from benchcoe_jobs.benchmarks.skills import Skills
from benchcoe_jobs.demo.questions import SUBJECTS, drawn, write_questions
from benchcoe_jobs.domain import Query, ScoredAnswer


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("skills") / "skills.jsonl"
    write_questions(path, 150)
    return path


@pytest.fixture(scope="module")
def queries(written: Path) -> list[Query]:
    return list(Skills().load(written))


def test_the_questions_are_reproducible(written: Path, queries: list[Query], tmp_path: Path) -> None:
    write_questions(tmp_path / "again.jsonl", 150)
    assert (tmp_path / "again.jsonl").read_bytes() == written.read_bytes()
    assert Skills.subjects == SUBJECTS
    assert [sum(query.subject == subject for query in queries) for subject in SUBJECTS] == [150] * 8


def correct_answer(query: Query) -> str:
    """The answer from the text of the question, independent of the code that made it."""
    numbers = [int(number) for number in re.findall(r"\d+", query.text)]
    letters = re.findall(r"\b[a-z]\b", query.text)
    match query.subject:
        case "arithmetic":
            by_sum = "plus" in query.text or query.text.startswith("Add")
            return str(sum(numbers) if by_sum else abs(numbers[0] - numbers[1]))
        case "comparison":
            return str(max(numbers) if "larger" in query.text else min(numbers))
        case "counting":
            return str(len(letters))
        case "capitals":
            return " ".join(letters).upper()
        case "reversal":
            return " ".join(letters[::-1])
        case "sorting":
            return " ".join(sorted(letters))
        case "dates":
            [words] = re.findall(r"\d+ [A-Z]\w+ \d{4}|[A-Z]\w+ \d+, \d{4}", query.text)
            form = "%B %d, %Y" if "," in words else "%d %B %Y"
            return datetime.strptime(words, form).date().isoformat()
    return str(numbers[0] * (1000 if "kilo" in query.text else 100))


def test_every_answer_is_correct(queries: list[Query]) -> None:
    assert [(query.text, query.answer) for query in queries] == [
        (query.text, correct_answer(query)) for query in queries
    ]


def test_no_question_is_in_the_training_data(queries: list[Query]) -> None:
    """Neither the question nor the fact that it asks for."""
    for subject in SUBJECTS:
        trained = list(islice(drawn(subject, random.Random(1), held_out=False), 20_000))
        tested = list(islice(drawn(subject, random.Random(2), held_out=True), 2_000))
        assert not {question.fact for question in trained} & {question.fact for question in tested}
        assert {query.text for query in queries if query.subject == subject}.isdisjoint(one.text for one in trained)


def test_the_whole_first_line_is_the_answer() -> None:
    query = Query("1", "units", "How many cents are 3 euros?", answer="300")
    score = Skills().score
    assert score(" 300", query) == ScoredAnswer(1.0, "300", "line")
    assert score("300 \nQ: And then?", query) == ScoredAnswer(1.0, "300", "line")
    for wrong in ("3000", "the answer is 300", "300.", "30 0"):
        assert score(wrong, query).score == 0
    assert score(" \n", query) == NO_ANSWER
    assert score("3" * 1_000_000, query).score == 0
    assert Skills().request(query, NO_SHOTS).question == "Q: How many cents are 3 euros?\nA:"


def test_the_experts_are_small_and_have_no_pickle() -> None:
    for expert in demo.SKILLS:
        files = {path.name: path.stat().st_size for path in demo.model_folder(expert).iterdir()}
        assert files.keys() == {
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        assert files["model.safetensors"] < 1_000_000
    tokenizers = {(demo.model_folder(expert) / "tokenizer.json").read_text() for expert in demo.SKILLS}
    assert len(tokenizers) == 1
    assert json.loads(tokenizers.pop())["model"]["type"] == "BPE"
