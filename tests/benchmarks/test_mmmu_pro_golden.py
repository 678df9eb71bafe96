"""The scorer of MMMU on published responses of seven models to MMMU-Pro, as its own script scores them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import Any

import pytest
from needs import SHARED_DATA, skip_or_fail

from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.domain import Query

FOLDER = SHARED_DATA / "pictures" / "mmmu_pro"

CUT = 400
"""The published responses are cut at this number of characters, and the answer of a longer one may be cut off."""


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().split("\n") if line]


def test_every_whole_response_has_its_published_score() -> None:
    if not (FOLDER / "standard4.responses.jsonl").exists():
        skip_or_fail(f"no MMMU-Pro responses in {FOLDER}")
    questions = {row["id"]: row for row in rows("questions.jsonl")}
    published = {row["id"]: row for row in csv.DictReader((FOLDER / "standard4.scores.csv").read_text().splitlines())}
    n, right, rules = Counter[str](), Counter[str](), Counter[str]()
    for row in rows("standard4.responses.jsonl"):
        question = questions[row["id"]]
        query = Query(row["id"], question["subject"], "", tuple(question["options"]), question["answer"])
        for model, text in row.items():
            if model == "id" or len(text) >= CUT:
                continue
            scored = Mmmu().score(text, query)
            assert scored.score == float(published[row["id"]][model]), (row["id"], model, text, scored)
            n[model] += 1
            right[model] += int(scored.score)
            rules[scored.rule] += 1
    assert n["gpt-4o-2024-08-06"] == 1696
    assert right["gpt-4o-2024-08-06"] / 1696 == pytest.approx(0.5212, abs=0.0001)
    assert sum(n.values()) == 11_320
    assert rules["X."] == 1256, "GPT-4o's usual form"
