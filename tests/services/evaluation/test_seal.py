"""A seal fixes every decision, in any order of the export, before the outcomes are read."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing_world import bring, fill

from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.services.evaluation.decisions import evaluate_request
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.evaluation.seal import (
    SealedEvaluation,
    differences,
    read_decisions_file,
    read_seal,
    root_of,
    seal_evaluation,
)
from benchcoe_jobs.services.export.base import ExportRequest, exporter
from benchcoe_jobs.services.export.files import FileOutput
from benchcoe_jobs.store.session import Store

DECISIONS = st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["a", "b"])), min_size=1, max_size=9)


@given(DECISIONS, st.randoms(use_true_random=False), st.data())
def test_the_root_knows_the_decisions_and_not_their_order(
    decisions: list[tuple[str, str]], random: Random, data: st.DataObject
) -> None:
    shuffled = random.sample(decisions, len(decisions))
    assert root_of(shuffled) == root_of(decisions)
    row = data.draw(st.integers(0, len(decisions) - 1))
    query, expert = shuffled[row]
    shuffled[row] = query, "b" if expert == "a" else "a"
    if sorted(shuffled) != sorted(decisions):
        assert root_of(shuffled) != root_of(decisions)
    assert root_of([*decisions, ("new", "a")]) != root_of(decisions)


def sealed(store: Store, home: Path) -> SealedEvaluation:
    with store.writing() as connection:
        request = evaluate_request(connection, "r", None, "train")
    return seal_evaluation(store, home, request, home / "seal.json")


def exported(store: Store, home: Path, name: str) -> Path:
    request = ExportRequest(router="r", split="train", options={"what": "decisions"})
    exporter("table").write(store, home, request, FileOutput(home / name))
    return home / name


@pytest.mark.parametrize("name", ["decisions.csv", "decisions.jsonl", "decisions.parquet"])
def test_a_stranger_recomputes_the_seal_from_exported_decisions(store: Store, tmp_path: Path, name: str) -> None:
    fill(store, tmp_path)
    written = sealed(store, tmp_path)
    evaluate(store, tmp_path, "r", benchmark=None, split="train")
    decisions = read_decisions_file(exported(store, tmp_path, name))
    seal = read_seal(tmp_path / "seal.json")
    assert (seal, seal.n) == (written.seal, 40)
    assert differences(seal, decisions) == []
    query, expert = decisions[0]
    changed = [(query, "bob" if expert == "ann" else "ann"), *decisions[1:]]
    assert "some were changed" in differences(seal, changed)[0]
    assert differences(seal, decisions[1:]) == ["the seal is of 40 decisions, and the file has 39"]


def test_later_scores_do_not_change_what_was_sealed(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    first = sealed(store, tmp_path)
    bring(store, tmp_path, "bob", 1.0, 1.0)
    (tmp_path / "seal.json").unlink()
    again = seal_evaluation(store, tmp_path, first.request, tmp_path / "seal.json")
    assert (again.seal.root, again.evaluation_id) == (first.seal.root, first.evaluation_id)


def test_a_seal_is_never_replaced_and_not_altered(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    sealed(store, tmp_path)
    path = tmp_path / "seal.json"
    with pytest.raises(UsageError, match="a seal is never replaced"):
        sealed(store, tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"router": "another"}))
    with pytest.raises(InputError, match="was altered"):
        read_seal(path)
    for text in ("", "{}", path.read_text()[:200], json.dumps(content | {"extra": 1})):
        path.write_text(text)
        with pytest.raises(InputError, match="is not a seal"):
            read_seal(path)
