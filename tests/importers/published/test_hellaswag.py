"""Tables of log-likelihoods of HellaSwag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.importers.published.hellaswag import HELLASWAG
from benchcoe_jobs.importers.source import Source

ENDINGS = ["a", "bb", "ccc", "dddd"]


def questions(path: Path, *labels: int) -> Path:
    rows = [
        {"ind": 20 + n, "activity_label": "A", "ctx_a": f"{n}.", "ctx_b": "b", "endings": ENDINGS, "label": label}
        | {"split": "val"}
        for n, label in enumerate(labels)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def items(path: Path, content: str, metric: str | None = "acc", *companions: Path) -> list[Any]:
    path.write_text(content)
    source = Source(path)
    assert HELLASWAG.recognise(source)
    return list(HELLASWAG.read(source, ReadOptions(metric=metric, companions=companions)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_rows_in_the_order_of_the_benchmark(table: Path, tmp_path: Path) -> None:
    listed = questions(tmp_path / "hellaswag_val.jsonl", 3, 0)
    assert HELLASWAG.accompanies(Source(listed))
    content = "nll_0,nll_1,nll_2,nll_3\n-3,-3.5,-3.2,-2\n-3,-3.5,-3.2,-2\n"
    stored = list(HellaSwag().load(listed))
    found = items(table, content, "acc", listed)
    assert [(row.query, row.score, row.text) for row in found] == [(stored[0], 1.0, None), (stored[1], 0.0, None)]
    sums = items(table, content, "acc_norm", listed)
    assert [(row.query, row.score, row.text) for row in sums] == [
        (query, None, "[-3.0, -3.5, -3.2, -2.0]") for query in stored
    ]
    assert [HellaSwag().score(row.text, row.query).score for row in sums] == [1.0, 0.0]
    questions(listed, 3)
    with pytest.raises(InputError, match=r"its 2 rows have no key: name the file .*; hellaswag_val\.jsonl has 1"):
        items(table, content, "acc", listed)
    with pytest.raises(InputError, match="its 2 rows have no key"):
        items(table, content)


def test_rows_with_keys_and_labels(table: Path, tmp_path: Path) -> None:
    listed = questions(tmp_path / "hellaswag_val.jsonl", 3, 0)
    content = "ind,label,loss0,loss1,loss2,loss3\n20,3,3,4,3,2\n21,3,3,4,3,2\n22,3,3,4,3,2\n20,3,3,4,3,2\n"
    assert items(table, content)[:1] == [Result(2, "hellaswag", Query("20", "", ""), score=1.0)]
    right, *skipped = items(table, content, "acc", listed)
    assert (right.query.key, right.score) == ("val-20", 1.0)
    assert [row.reason for row in skipped] == [
        "label '3' is not that of the question",
        "hellaswag_val.jsonl has no question '22'",
        "it repeats an earlier row (row 5 repeats row 2: query 'val-20')",
    ]
    assert items(table, "ind,ll0,ll1,ll2,ll3\n20,-3,-4,-3,\n21,-1,-2,-3,-4\n") == [
        SkippedRow(2, "ll3 is empty"),
        SkippedRow(3, "its correct ending is not known: a column label or a file of the benchmark tells it"),
    ]


@pytest.mark.parametrize("header", ["ll0,ll1,ll2,ll3", "nll0,nll1,nll2,nll3"])
def test_values_of_both_signs_are_refused(table: Path, header: str) -> None:
    with pytest.raises(InputError, match=r"its values from -1 to 0\.5 are not log-likelihoods, which are not positive"):
        items(table, f"ind,{header}\n1,-1,0.5,0.5,0.5\n")


def test_the_metric_is_needed(table: Path) -> None:
    content = "ind,ll0,ll1,ll2,ll3\n1,-1,-2,-3,-4\n"
    with pytest.raises(InputError, match="give --metric acc_norm if they are sums over an ending, or --metric acc to"):
        items(table, content, None)
    with pytest.raises(UsageError, match="--metric f1: the format hellaswag has acc_norm and acc"):
        items(table, content, "f1")


def test_other_tables_are_not_taken_for_log_likelihoods(table: Path) -> None:
    for header in ("ll0,ll1,ll2", "ll0,ll1,ll2,nll3", "key,subject,score", "ll0,ll1,ll2,ll3,ll_3"):
        table.write_text(f"{header}\n1,1,1,1,1\n")
        assert HELLASWAG.recognise(Source(table)) is None
