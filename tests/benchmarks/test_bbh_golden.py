"""BIG-Bench Hard on the real files: all questions, the prompts, and the published accuracy of ten tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from needs import SHARED_DATA, skip_or_fail

from benchcoe_jobs.benchmarks.base import Shots
from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.domain import Query

BBH = SHARED_DATA / "bbh"
FILE = "{}_few_shot_template_0-255000"

# task: correct answers of code-davinci-002 of 250, and responses without "the answer is "
GOLDEN = {
    "boolean_expressions": (232, 4),
    "date_understanding": (218, 1),
    "dyck_languages": (142, 51),
    "logical_deduction_three_objects": (219, 0),
    "movie_recommendation": (226, 0),
    "multistep_arithmetic_two": (119, 9),
    "navigate": (241, 0),
    "object_counting": (233, 0),
    "sports_understanding": (244, 0),
    "word_sorting": (101, 146),
}


@pytest.fixture(scope="module")
def queries() -> dict[str, list[Query]]:
    """The queries by task."""
    if not BBH.is_dir():
        skip_or_fail(f"no BIG-Bench Hard in {BBH}")
    found: dict[str, list[Query]] = {}
    for query in BigBenchHard().load(BBH):
        found.setdefault(query.subject, []).append(query)
    return found


@pytest.fixture(scope="module")
def shots(queries: dict[str, list[Query]]) -> Mapping[str, Shots]:
    return BigBenchHard().shots(BBH)


def published(task: str) -> tuple[list[dict[str, str]], float]:
    """The outputs of code-davinci-002, and the accuracy in per cent from its file of metrics."""
    folder = BBH / "code-davinci-002-cot"
    outputs = json.loads((folder / f"{FILE.format(task)}.json").read_text())["outputs"]
    metrics = (folder / f"{FILE.format(task)}_eval_metrics.jsonl").read_text().splitlines()
    return outputs, json.loads(metrics[0])["accuracy"]


def test_all_questions_of_all_tasks(queries: dict[str, list[Query]]) -> None:
    assert sum(map(len, queries.values())) == 6511
    assert tuple(sorted(queries)) == BigBenchHard.subjects
    assert {query.split for found in queries.values() for query in found} == {None}


def test_every_output_file_is_known(queries: dict[str, list[Query]]) -> None:
    files = (BBH / "code-davinci-002-cot").glob("*_eval_metrics.jsonl")
    assert {file.name.partition("_few_shot")[0] for file in files} == set(GOLDEN)


@pytest.mark.parametrize("task", GOLDEN)
def test_the_published_accuracy(queries: dict[str, list[Query]], task: str) -> None:
    outputs, accuracy = published(task)
    pairs = list(zip(outputs, queries[task], strict=True))
    scored = [BigBenchHard().score(output["prediction"], query) for output, query in pairs]
    correct = sum(answer.score for answer in scored)
    assert (correct, sum(answer.rule == "none" for answer in scored)) == GOLDEN[task]
    assert 100 * correct / len(outputs) == pytest.approx(accuracy, abs=1e-9)


@pytest.mark.parametrize("task", GOLDEN)
def test_the_published_prompts(queries: dict[str, list[Query]], shots: Mapping[str, Shots], task: str) -> None:
    """Character by character, and without the canary."""
    for output, query in zip(published(task)[0], queries[task], strict=True):
        assert BigBenchHard().request(query, shots[task]).prompt(3) == output["input"]
        assert query.answer == output["target"]


def test_every_task_has_three_examples_and_no_canary(shots: Mapping[str, Shots]) -> None:
    assert tuple(sorted(shots)) == BigBenchHard.subjects
    for found in shots.values():
        assert len(found.blocks) == BigBenchHard.n_shots
        assert not any("canary" in part.lower() for part in (found.preamble, *found.blocks))


def test_the_folder_of_questions_and_the_file_of_a_task_are_loaded_too(queries: dict[str, list[Query]]) -> None:
    assert len(list(BigBenchHard().load(BBH / "bbh"))) == 6511
    one: Path = BBH / "bbh" / "snarks.json"
    assert list(BigBenchHard().load(one)) == queries["snarks"]
    assert BigBenchHard().shots(one) == BigBenchHard().shots(BBH) == BigBenchHard().shots(BBH / "bbh")


# task: correct answers without a chain of thought, of the first 60
DIRECT = {"penguins_in_a_table": 48, "snarks": 38}


@pytest.mark.parametrize("task", DIRECT)
def test_direct_answers(queries: dict[str, list[Query]], task: str) -> None:
    path = SHARED_DATA / "formats" / "bbh-direct" / "code-davinci-002-direct" / f"{FILE.format(task)}.json"
    if not path.is_file():
        skip_or_fail(f"no direct answers in {path}")
    outputs = json.loads(path.read_text())["outputs"]
    scored = [
        BigBenchHard().score(out["prediction"], query) for out, query in zip(outputs, queries[task], strict=False)
    ]
    assert {answer.rule for answer in scored} == {"whole answer"}
    assert sum(answer.score for answer in scored) == DIRECT[task]
