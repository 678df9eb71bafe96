"""Run folders of HELM: splits, perturbations, trials and metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from needs import SHARED_DATA, skip_or_fail
from readings import reading

from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.harnesses.helm import HELM
from benchcoe_jobs.importers.source import Source

SCORE = "exact_match"


def state(key: str, trial: int = 0, split: str = "test", **members: Any) -> dict[str, Any]:
    references = [{"output": {"text": "red"}, "tags": []}, {"output": {"text": "blue"}, "tags": ["correct"]}]
    instance = {"id": key, "split": split, "input": {"text": f"Which colour is {key}?"}, "references": references}
    return {
        "instance": instance | members,
        "train_trial_index": trial,
        "result": {"completions": [{"text": " B"}]},
    }


def stats(key: str, score: float, trial: int = 0, split: str = "test", **members: Any) -> dict[str, Any]:
    listed = [statistic(SCORE, score, split), statistic("num_prompt_tokens", 12.0, split)]
    return {"instance_id": key, "train_trial_index": trial, "stats": listed, **members}


def statistic(name: str, mean: float, split: str = "test", **members: Any) -> dict[str, Any]:
    return {"name": {"name": name, "split": split, **members}, "count": 1, "mean": mean}


def run(
    folder: Path,
    states: list[Any],
    scores: list[Any],
    means: list[Any],
    name: str = "mmlu:subject=colours,model=org_small",
) -> Path:
    folder.mkdir(exist_ok=True)
    adapter = {"model": "org/small", "method": "multiple_choice_joint"}
    spec = {"name": name, "adapter_spec": adapter, "scenario_spec": {"args": {"subject": "colours"}}}
    documents = {
        "run_spec.json": spec,
        "scenario_state.json": {"request_states": states},
        "per_instance_stats.json": scores,
        "stats.json": means,
    }
    for file, document in documents.items():
        (folder / file).write_text(json.dumps(document))
    return folder


def test_the_published_figure_is_over_one_split() -> None:
    found = SHARED_DATA / "formats" / "helm"
    if not found.is_dir():
        skip_or_fail(f"{found} is missing")
    [folder] = (path for path in found.iterdir() if path.is_dir())
    assert HELM.recognise(Source(folder))
    read = reading(HELM, folder)
    assert (read.means(), read.stated_means()) == ({"mmlu:philosophy": (9, 0.1111)}, {"mmlu:philosophy": 0.1111})
    assert read.stated[0].n == 9
    [note] = read.notes
    assert "instances of the split 'valid' are passed over (1)" in note
    row = read.results[0]
    assert (row.expert, row.benchmark, row.query.key, row.text) == ("openai/gpt2", "mmlu", "philosophy/id147", " D")


def test_a_run_without_a_test_split(tmp_path: Path) -> None:
    states = [state("id0", split="valid"), state("id1", split="valid")]
    scores = [stats("id0", 1.0, split="valid"), stats("id1", 0.0, split="valid")]
    folder = run(tmp_path, states, scores, [statistic(SCORE, 0.5, "valid")])
    read = reading(HELM, folder)
    assert (read.means(), read.stated_means()) == ({"mmlu:colours": (2, 0.5)}, {"mmlu:colours": 0.5})
    assert read.results[0].query == Query("colours/id0", "colours", "Which colour is id0?", ("red", "blue"), "B")
    assert (read.results[0].prompt_tokens, read.results[0].completion_tokens) == (12, None)


def test_perturbed_copies_are_passed_over_and_trials_have_their_mean(tmp_path: Path) -> None:
    typos = {"perturbation": {"name": "typos"}}
    states = [state("id0"), state("id0", trial=1), state("id0", **typos), state("id1")]
    scores = [stats("id0", 1.0), stats("id0", 0.0, trial=1), stats("id0", 0.0, **typos), stats("id1", 1.0)]
    means = [statistic(SCORE, 0.75), statistic(SCORE, 0.0, perturbation={"name": "typos"})]
    read = reading(HELM, run(tmp_path, states, scores, means))
    assert (read.means(), read.stated_means()) == ({"mmlu:colours": (2, 0.75)}, {"mmlu:colours": 0.75})
    assert [row.text for row in read.results] == [None, " B"]
    assert [note.partition(": ")[2][:24] for note in read.notes] == [
        "perturbed copies of inst",
        "scores are means over up",
    ]


def test_one_request_for_each_reference_is_one_row(tmp_path: Path) -> None:
    states = [state("id0") | {"reference_index": place} for place in range(2)]
    read = reading(HELM, run(tmp_path, states, [stats("id0", 1.0)], []))
    assert [(row.score, row.text) for row in read.results] == [(1.0, None)]


def test_the_metric_is_that_of_the_scenario_or_of_the_command(tmp_path: Path) -> None:
    folder = run(tmp_path, [state("id0")], [stats("id0", 1.0)], [], name="boolq:model=org_small")
    with pytest.raises(InputError, match=r"no metric 'quasi_exact_match': --metric chooses one, such as exact_match$"):
        reading(HELM, folder)
    assert reading(HELM, folder, metric=SCORE).means() == {"boolq:colours": (1, 1.0)}


def test_rows_and_folders_that_cannot_be_used(tmp_path: Path) -> None:
    states = [state("id0"), state("id1"), state("id2", input={"text": "a\0b"})]
    read = reading(HELM, run(tmp_path, states, [stats("id0", 1.0), stats("id2", 1.0)], []))
    assert [(row.line, row.reason) for row in read.skipped] == [
        (2, "it has no exact_match"),
        (3, "text has a NUL character, which cannot be stored"),
    ]
    (tmp_path / "per_instance_stats.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"JSON that is too large or too deep$"):
        reading(HELM, tmp_path)
    (tmp_path / "per_instance_stats.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"it is not a list$"):
        reading(HELM, tmp_path)
