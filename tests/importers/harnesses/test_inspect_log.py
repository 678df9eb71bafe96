"""Logs of inspect: both forms, epochs, scorers, parts of a run, and tasks over benchmarks of the program."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from needs import SHARED_DATA, skip_or_fail
from readings import reading
from zstd_zips import write_zstd_zip

from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.harnesses.inspect_log import INSPECT
from benchcoe_jobs.importers.source import Source

PNG = b"\x89PNG\r\n\x1a\n made up"


def shared(name: str) -> Path:
    path = SHARED_DATA / "formats" / name
    if not path.exists():
        skip_or_fail(f"{path} is missing")
    return path


def sample(key: object = 1, value: object = "C", **members: Any) -> dict[str, Any]:
    return {
        "id": key,
        "epoch": 1,
        "input": f"What is {key}?",
        "target": "yes",
        "output": {"model": "small", "choices": [{"message": {"role": "assistant", "content": "yes"}}]},
        "scores": {"match": {"value": value, "answer": "yes"}},
        "metadata": {"subject": "numbers", "level": "hard"},
        "model_usage": {"org/small": {"input_tokens": 5, "output_tokens": 2, "total_cost": 0.25}},
        **members,
    }


def log(samples: Sequence[Mapping[str, Any]], accuracy: float = 1.0, **members: Any) -> dict[str, Any]:
    scores = [{"name": "match", "scorer": "match", "metrics": {"accuracy": {"name": "accuracy", "value": accuracy}}}]
    return {
        "version": 2,
        "status": "success",
        "eval": {"run_id": "r", "task": "pkg/quiz", "model": "org/small", "config": {"epochs": 1}},
        "results": {"total_samples": len(samples), "scores": scores},
        "samples": list(samples),
        **members,
    }


def write(path: Path, document: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_epochs_have_their_mean() -> None:
    [path] = shared("inspect-generated").glob("*toy-mcq*.eval")
    found = reading(INSPECT, path)
    assert (found.means(), found.stated_means()) == ({"toy_mcq": (6, 0.3333)}, {"toy_mcq": 0.3333})
    assert {row.query.subject for row in found.results} == {"rivers", "metals"}
    assert found.notes == ["scores are means over 2 epochs of each sample"]
    assert found.results[0].text is None


def test_of_several_scorers_the_headline_or_the_command_decides(tmp_path: Path) -> None:
    [path] = shared("inspect-generated").glob("*two-scorers*.eval")
    found = reading(INSPECT, path)
    assert found.means() == {"toy_two_scorers": (4, 0.0)}
    assert "scores of match, not of match1 (--metric chooses)" in found.notes
    assert "scores of match1, not of match (--metric chooses)" in reading(INSPECT, path, metric="match1").notes
    both = sample(scores={"match": {"value": "C"}, "rubric": {"value": {"style": 0.5, "facts": 1}}})
    with pytest.raises(InputError, match=r"--metric chooses one of its scores: match, rubric/style, rubric/facts$"):
        reading(INSPECT, write(tmp_path / "a.json", log([both])))
    assert reading(INSPECT, tmp_path / "a.json", metric="style").results[0].score == 0.5
    assert reading(INSPECT, tmp_path / "a.json", metric="match").stated_means() == {"quiz": 1.0}


@pytest.mark.parametrize(
    ("name", "task", "n", "mean"),
    [
        ("log_formats.eval", "popularity", 1, 0.0),
        ("log_formats.json", "popularity", 1, 0.0),
        ("log_read_sample.eval", "popularity", 1, 1.0),
        ("mmlu-no-summary-choices.eval", "mmlu_0_shot", 1, 0.0),
        ("2025-05-12T20-28-13-04-00_popularity.json", "popularity", 3, 0.6667),
        ("eee_data_arc_qwen.json", "arc_easy", 3, 0.3333),
    ],
)
def test_published_logs(name: str, task: str, n: int, mean: float) -> None:
    path = shared(f"inspect/{name}")
    assert INSPECT.recognise(Source(path))
    found = reading(INSPECT, path)
    assert (found.means(), found.stated_means()) == ({task: (n, mean)}, {task: mean})


def test_logs_without_scores_or_samples_are_refused() -> None:
    with pytest.raises(InputError, match=r"no sample is scored; the command 'inspect score' scores a log$"):
        reading(INSPECT, shared("inspect/2025-02-11T15-17-00-05-00_popularity_dPiJifoWeEQBrfWsAopzWr.eval"))
    with pytest.raises(InputError, match=r"the log has no samples"):
        reading(INSPECT, shared("inspect/eee_data_with_llm_scoring.json"))


def test_a_sample_becomes_a_result(tmp_path: Path) -> None:
    [row] = reading(INSPECT, write(tmp_path / "a.json", log([sample(choices=["no", "yes"], target=["B"])]))).results
    assert (row.query.key, row.query.subject, row.query.choices, row.query.answer) == (
        "quiz/1",
        "numbers",
        ("no", "yes"),
        "B",
    )
    assert (row.benchmark, row.expert, row.text, row.claimed) == ("quiz", "org/small", "yes", "yes")
    assert (row.prompt_tokens, row.completion_tokens, row.cost) == (5, 2, 0.25)
    assert reading(INSPECT, tmp_path / "a.json", subject_from="level").results[0].query.subject == "hard"


def test_messages_images_and_attachments(tmp_path: Path) -> None:
    image = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    content = [{"type": "text", "text": "attachment://t"}, {"type": "image", "image": "attachment://i"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    one = sample(input=messages, attachments={"t": "What is this?", "i": image})
    [row] = reading(INSPECT, write(tmp_path / "a.json", log([one]))).results
    assert (row.query.text, row.query.images) == ("What is this?", (PNG,))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scores": {}, "error": {"message": "timeout"}}, "it ended with an error"),
        ({"scores": {"match": {"value": None}}}, "it is not scored"),
        ({"scores": {"match": {"value": "maybe"}}}, "value 'maybe' is not a score"),
        ({"scores": []}, "it has no score of match"),
        ({"input": "a\0b"}, "input has a NUL character, which cannot be stored"),
        ({"input": 3}, "input is empty"),
        ({"input": "attachment://gone"}, "an attachment of it is missing: 'attachment://gone'"),
        ({"id": None}, "id is empty"),
        ({"id": 1}, "it repeats an earlier row (row 2 repeats row 1: sample 1, epoch 1)"),
    ],
)
def test_a_sample_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    found = reading(INSPECT, write(tmp_path / "a.json", log([sample(), sample(2) | change])))
    assert [(row.line, row.reason) for row in found.skipped] == [(2, reason)]
    assert len(found.results) == 1


def test_the_letters_and_other_scales(tmp_path: Path) -> None:
    values = ["C", "P", "I", "N", True, 0.25, "0.75", "no"]
    samples = [sample(key, value) for key, value in enumerate(values)]
    found = reading(INSPECT, write(tmp_path / "a.json", log(samples)))
    assert [row.score for row in found.results] == [1.0, 0.5, 0.0, 0.0, 1.0, 0.25, 0.75, 0.0]
    with pytest.raises(InputError, match=r"value 7 is not between 0 and 1, so the scorer has another scale"):
        reading(INSPECT, write(tmp_path / "a.json", log([sample(), sample(2, 7)])))


def test_a_run_that_was_killed_has_its_first_journal_for_a_header(tmp_path: Path) -> None:
    document = log([])
    start = {"version": 2, "eval": document["eval"]}
    members = {"_journal/start.json": start, "samples/1_epoch_1.json": sample()}
    write_zstd_zip(tmp_path / "a.eval", {name: json.dumps(value).encode() for name, value in members.items()})
    found = reading(INSPECT, tmp_path / "a.eval")
    assert found.means() == {"quiz": (1, 1.0)}
    assert (found.stated, found.notes) == ([], ["the log has the status None: it may be a part, with 1 samples"])


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"a.json": b"{}"}, "the zip has no header.json, so it is not a log of inspect$"),
        ({"header.json": b"[" * 100_000}, "JSON that is too large or too deep$"),
        ({"header.json": b"[]"}, "not a log of inspect"),
        ({"header.json": b'{"eval": {"task": "quiz"}}'}, "the log names no model or no task$"),
    ],
)
def test_an_archive_that_is_no_log(tmp_path: Path, contents: dict[str, bytes], message: str) -> None:
    write_zstd_zip(tmp_path / "a.eval", contents)
    with pytest.raises(InputError, match=message):
        reading(INSPECT, tmp_path / "a.eval")


def test_mmlu_pro_is_scored_by_its_scorer(tmp_path: Path) -> None:
    row = {"question_id": 7, "question": "Which is even?", "options": ["one", "two"], "answer": "B", "category": "math"}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    one = sample(7, "I", input=row["question"], choices=row["options"], target="B", metadata={"subject": "math"})
    evaluation = {"task": "inspect_evals/mmlu_pro", "model": "org/small"}
    [found] = reading(INSPECT, write(tmp_path / "a.json", log([one], eval=evaluation))).results
    assert [found.query] == list(MmluPro().load(tmp_path / "rows.json"))
    assert (found.benchmark, found.text, found.score, found.file_score) == ("mmlu-pro", "yes", None, 0.0)


def test_mmmu_meets_its_queries_by_their_keys(tmp_path: Path) -> None:
    one = sample("validation_Art_Theory_3", "I", choices=["a cat", "a dog"], target="B", input="What? <image 1>")
    one["output"] = {"completion": "(B)"}
    evaluation = {"task": "inspect_evals/mmmu_multiple_choice", "model": "org/small"}
    [found] = reading(INSPECT, write(tmp_path / "a.json", log([one], eval=evaluation))).results
    assert (found.benchmark, found.query.subject, found.query.text) == ("mmmu", "Art_Theory", "")
    assert (found.text, found.score, found.file_score, found.prompt) == ("(B)", None, 0.0, "What? <image 1>")


def test_a_task_with_other_questions_does_not_have_the_name_of_a_benchmark(tmp_path: Path) -> None:
    evaluation = {"task": "inspect_evals/hellaswag", "model": "org/small"}
    [found] = reading(INSPECT, write(tmp_path / "a.json", log([sample()], eval=evaluation))).results
    assert found.benchmark == "hellaswag-inspect"


def test_a_figure_that_is_no_mean_is_reported(tmp_path: Path) -> None:
    found = reading(INSPECT, write(tmp_path / "a.json", log([sample()], accuracy="0.5")))  # type: ignore[arg-type]
    assert found.stated_means() == {}
    assert any("is '0.5', not a number from 0 to 1" in note for note in found.notes)
