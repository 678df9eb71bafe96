"""lm-eval: filters, metrics, groups, runs, and tasks whose queries are those of the program's benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval_files import TIME, choice_row, text_row, write_task
from needs import SHARED_DATA, skip_or_fail
from readings import reading

from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.benchmarks.hellaswag import HellaSwag, cleaned
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.benchmarks.winogrande import WinoGrande
from benchcoe_jobs.domain import Query
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.harnesses.lm_eval import LM_EVAL
from benchcoe_jobs.importers.source import Source

ROWS = [choice_row(0, 1.0), choice_row(1, 0.0)]


def shared(name: str) -> Path:
    path = SHARED_DATA / "formats" / name
    if not path.exists():
        skip_or_fail(f"{path} is missing")
    return path


def test_a_run_with_a_group_and_two_filters() -> None:
    found = reading(LM_EVAL, shared("lm-eval-generated/6v8uqx97"))
    means = {"toy_metals": (12, 0.1667), "toy_rivers": (12, 0.3333), "toy_sums": (10, 0.0)}
    assert found.means() == means
    assert found.stated_means() == {task: mean for task, (_, mean) in means.items()}
    assert {(row.benchmark, row.query.subject) for row in found.results} == {
        ("toy", "toy_metals"),
        ("toy", "toy_rivers"),
        ("toy_sums", "toy_sums"),
    }
    assert found.results[0].query == Query(
        key="toy_metals/0",
        subject="toy_metals",
        text="Made-up question 0 about metals: which of these numbers is 0?",
        choices=("0", "20", "neither of them", "40"),
        answer="C",
    )
    assert any("strict-match, not of flexible-extract" in note for note in found.notes)
    assert any("random name" in note for note in found.notes)


def test_the_metric_and_the_filter_of_the_command() -> None:
    found = reading(LM_EVAL, shared("lm-eval-generated/6v8uqx97"), metric="acc_norm", filter="flexible-extract")
    assert found.means() == {"toy_metals": (12, 0.25), "toy_rivers": (12, 0.4167), "toy_sums": (10, 0.0)}
    assert found.stated[2].stated.startswith("exact_match,flexible-extract of toy_sums")


def test_a_filter_that_no_task_has_is_refused(tmp_path: Path) -> None:
    write_task(tmp_path, "colours", ROWS, {"acc,none": 0.5})
    assert reading(LM_EVAL, tmp_path, filter="none").means() == {"colours": (2, 0.5)}
    with pytest.raises(InputError, match=r"no task has the filter 'strict-match'; there are none$"):
        reading(LM_EVAL, tmp_path, filter="strict-match")


def test_the_lists_of_version_0_4_2() -> None:
    folder = shared("constructed/lm-eval-0.4.2")
    assert reading(LM_EVAL, folder, metric="acc_norm").means() == {"toy_metals": (12, 0.25)}
    found = reading(LM_EVAL, folder, metric="acc")
    assert (found.means(), found.stated_means()) == ({"toy_metals": (12, 0.1667)}, {"toy_metals": 0.1667})
    assert found.results[0].expert == "toy/model"
    with pytest.raises(InputError, match=r"toy_metals has several metrics: --metric chooses one of acc, acc_norm$"):
        reading(LM_EVAL, folder)


def test_a_part_of_a_task_states_the_size_of_the_whole() -> None:
    found = reading(LM_EVAL, shared("lm-eval-current"))
    assert found.means() == {"math_perturbed_full": (10, 0.0)}
    assert found.stated[0].n == 5000
    assert found.results[0].query.text.startswith("How many vertical asymptotes")


def test_one_file_has_the_results_beside_it(tmp_path: Path) -> None:
    samples = write_task(tmp_path, "colours", ROWS, {"acc,none": 0.5})
    found = reading(LM_EVAL, samples)
    assert found.results == [row._replace(file=None) for row in reading(LM_EVAL, tmp_path).results]
    assert (found.stated[0].value, found.stated[0].n, found.stated[0].expert) == (0.5, 2, "org/small")


def test_the_newest_run_of_a_task(tmp_path: Path) -> None:
    write_task(tmp_path, "colours", ROWS, {"acc,none": 0.5})
    write_task(tmp_path, "colours", [choice_row(0, 1.0)], {"acc,none": 1.0}, time="2026-11-29T04-09-26.322425")
    found = reading(LM_EVAL, tmp_path)
    assert (found.means(), found.stated_means()) == ({"colours": (1, 1.0)}, {"colours": 1.0})
    assert found.notes == [f"samples_colours_{TIME}.jsonl: passed over, because there is a newer run of colours"]


def test_results_without_samples_say_how_to_get_them(tmp_path: Path) -> None:
    write_task(tmp_path, "colours", ROWS, {"acc,none": 0.5}).unlink()
    results = Source(tmp_path / f"results_{TIME}.json")
    assert LM_EVAL.recognise(results)
    with pytest.raises(InputError, match=r"--log_samples"):
        reading(LM_EVAL, results.path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"doc": None}, "doc_id or doc is missing"),
        ({"doc": {"question": "a\0b"}}, "question has a NUL character, which cannot be stored"),
        ({"doc": {"question": "\ud83d"}}, "question has half a surrogate pair, which cannot be stored"),
        ({"doc": {}, "arguments": {}}, "doc has no field with a question, and there is no prompt"),
        ({"acc": None}, "score is empty"),
        ({"filter": 3}, "filter 3 is not the name of a filter"),
        ({"doc_id": 0}, "it repeats an earlier row (row 2 repeats row 1: document 0)"),
    ],
)
def test_a_row_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    write_task(tmp_path, "colours", [choice_row(0, 1.0), choice_row(1, 1.0) | change], {})
    found = reading(LM_EVAL, tmp_path)
    assert [(row.line, row.reason) for row in found.skipped] == [(2, reason)]
    assert len(found.results) == 1


def test_broken_lines_are_skipped(tmp_path: Path) -> None:
    samples = write_task(tmp_path, "colours", ROWS, {"acc,none": 0.5})
    samples.write_text(samples.read_text() + "[" * 100_000 + "\n" + json.dumps(ROWS[0])[:50])
    assert [row.reason for row in reading(LM_EVAL, samples).skipped] == [
        "JSON that is too large or too deep",
        "broken JSON at character 35: Unterminated string starting at",
    ]


@pytest.mark.parametrize(
    ("metrics", "results", "message"),
    [
        ({"word_perplexity": 9.5}, {}, "no metric that is a score between 0 and 1; its metrics are word_perplexity"),
        ({"acc": 0.5}, {"higher_is_better": {"colours": {"acc": False}}}, "no metric that is a score between 0 and 1"),
        ({"bleu": 27.5}, {}, "score 27.5 is not between 0 and 1"),
    ],
)
def test_metrics_that_are_no_scores(
    tmp_path: Path, metrics: dict[str, float], results: dict[str, Any], message: str
) -> None:
    write_task(tmp_path, "colours", [choice_row(0, 1.0) | metrics | {"metrics": list(metrics)}], {}, **results)
    with pytest.raises(InputError, match=message):
        reading(LM_EVAL, tmp_path)


def test_a_published_metric_and_an_own_name(tmp_path: Path) -> None:
    """A task that has the name of a benchmark of the program, and is not known to be it, has another name."""
    row = choice_row(0, 0.0) | {"metrics": ["acc", "acc_norm"], "acc_norm": 1.0}
    write_task(tmp_path / "arc", "arc_challenge", [row], {})
    assert reading(LM_EVAL, tmp_path / "arc").results[0].score == 1.0
    write_task(tmp_path / "named", "scienceqa", [choice_row(0, 1.0)], {})
    assert reading(LM_EVAL, tmp_path / "named").results[0].benchmark == "scienceqa-lm-eval"


MMLU_PRO = {
    "question_id": 70,
    "question": "Which is even?",
    "options": ["one", "two", "three"],
    "answer": "B",
    "answer_index": 1,
    "cot_content": "",
    "category": "computer science",
    "src": "ori_mmlu-made up",
}


def loaded(benchmark: Any, path: Path, rows: list[dict[str, Any]]) -> Query:
    path.write_text(json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows))
    return next(iter(benchmark.load(path)))


def test_mmlu_pro_is_scored_by_its_scorer(tmp_path: Path) -> None:
    rows = [text_row(0, 0.0, "So the answer is (B).", MMLU_PRO, "custom-extract")]
    task = "mmlu_pro_computer_science"
    write_task(tmp_path / "run", task, rows, {"exact_match,custom-extract": 0.0})
    [row] = reading(LM_EVAL, tmp_path / "run").results
    assert row.query == loaded(MmluPro(), tmp_path / "rows.json", [MMLU_PRO])
    assert (row.benchmark, row.text, row.score, row.file_score) == ("mmlu-pro", "So the answer is (B).", None, 0.0)
    write_task(tmp_path / "plus", "mmlu_pro_plus_law", rows, {})
    assert reading(LM_EVAL, tmp_path / "plus").results[0].benchmark == "mmlu_pro_plus_law"


def test_the_leaderboards_letters_keep_their_score(tmp_path: Path) -> None:
    write_task(tmp_path, "leaderboard_mmlu_pro", [choice_row(0, 1.0, **MMLU_PRO)], {"acc,none": 1.0})
    [row] = reading(LM_EVAL, tmp_path).results
    assert (row.benchmark, row.query.key, row.text, row.score) == ("mmlu-pro", "70", None, 1.0)


def test_big_bench_hard_has_the_place_in_its_file_as_key() -> None:
    path = SHARED_DATA / "bbh" / "bbh" / "snarks.json"
    if not path.exists():
        skip_or_fail(f"{path} is missing")
    stored = list(BigBenchHard().load(path))
    docs = json.loads(path.read_text())["examples"]
    for task in ("leaderboard_bbh_snarks", "bbh_cot_fewshot_snarks"):
        row = choice_row(3, 1.0, **docs[3])
        assert query_of(task, row) == stored[3]


def query_of(task: str, row: dict[str, Any]) -> Query:
    from benchcoe_jobs.importers.harnesses.known_tasks import known_task

    known = known_task(task)
    assert known is not None
    return known.query(row["doc"], row["doc_id"])


def test_hellaswag_is_scored_from_its_log_likelihoods(tmp_path: Path) -> None:
    raw = {
        "ind": 24,
        "activity_label": "Roof shingle removal",
        "ctx_a": "A man is on a roof.",
        "ctx_b": "he",
        "endings": ["is using wrap [title] and more", "is ripping", "falls"],
        "split": "val",
        "label": "1",
    }
    doc = raw | {"query": "made by the harness", "choices": [cleaned(one) for one in raw["endings"]], "gold": 1}
    row = choice_row(7, 1.0, **doc) | {"metrics": ["acc", "acc_norm"], "acc_norm": 0.0}
    write_task(tmp_path / "run", "hellaswag", [row], {"acc_norm,none": 0.0})
    [found] = reading(LM_EVAL, tmp_path / "run").results
    assert found.query == loaded(HellaSwag(), tmp_path / "hellaswag_val.jsonl", [raw])
    assert (found.text, found.score, found.file_score) == ("[-0.9, -0.2, -0.7]", None, 0.0)


def test_winogrande_has_the_row_of_the_hub_as_key(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    docs = [
        {"sentence": f"Ann met Eve because _ was {mood}.", "option1": "Ann", "option2": "Eve", "answer": "2"}
        for mood in ("kind", "late")
    ]
    parquet.write_table(pa.Table.from_pylist(docs), tmp_path / "validation-00000-of-00001.parquet")
    stored = list(WinoGrande().load(tmp_path))
    write_task(tmp_path / "run", "winogrande", [choice_row(1, 1.0, **docs[1])], {"acc,none": 1.0})
    [row] = reading(LM_EVAL, tmp_path / "run").results
    assert (row.query, row.text, row.score) == (stored[1], None, 1.0)


def test_other_files_are_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"doc_id": 0, "input": "?"}')
    (tmp_path / "b.jsonl").write_text('"text"')
    (tmp_path / "c.jsonl").write_bytes(b"\0\xff")
    for path in (tmp_path, *tmp_path.iterdir()):
        assert LM_EVAL.recognise(Source(path)) is None


@pytest.mark.parametrize("figure", ["0.5", -1, 50.0, True, float("nan"), float("inf"), [0.5]])
def test_a_figure_that_is_no_mean_is_reported(tmp_path: Path, figure: Any) -> None:
    write_task(tmp_path, "quiz", ROWS, {"acc,none": figure})
    found = reading(LM_EVAL, tmp_path)
    assert len(found.results) == 2
    assert found.stated_means() == {}
    assert any(f"is {figure!r}, not a number from 0 to 1" in note for note in found.notes)


def test_rows_of_which_none_has_the_name_of_a_filter_are_all_skipped(tmp_path: Path) -> None:
    found = reading(LM_EVAL, write_task(tmp_path, "colours", [choice_row(0, 1.0) | {"filter": ["none"]}], {}))
    assert [row.reason for row in found.skipped] == ["filter ['none'] is not the name of a filter"]


def test_a_metric_that_a_task_does_not_have_is_reported(tmp_path: Path) -> None:
    found = reading(LM_EVAL, write_task(tmp_path, "colours", ROWS, {}), metric="acc_norm")
    assert "colours: scores of its metric acc, because it has no metric 'acc_norm'" in found.notes
