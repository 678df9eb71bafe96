"""A real endpoint is verified, changes its model under the same name, and changes back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import skill_endpoint
from profiling import run_profile
from skill_endpoint import SkillEndpoint

from benchcoe_jobs.demo.questions import write_questions
from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.services.drift.sprt import Verdict
from benchcoe_jobs.services.drift.verify import Repeated, measure, verify
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.labelling.build import build_labels
from benchcoe_jobs.services.removal.remove import remove
from benchcoe_jobs.store.labels.label_sets import label_sets
from benchcoe_jobs.store.results import checks, experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store


@pytest.fixture
def endpoint(store: Store, tmp_path: Path) -> Iterator[SkillEndpoint]:
    """An endpoint whose model `red` has been profiled as the expert ann on the questions of `skills`."""
    path = tmp_path / "skills.jsonl"
    write_questions(path, 30)
    add_benchmark(store, "skills", path)
    with skill_endpoint.serving(path) as serving:
        run_profile(store, ExpertRow("ann", "openai", "red", settings={"base_url": serving.url}))
        yield serving


def n_stale(store: Store) -> object:
    with store.reading() as connection:
        return label_sets(connection)[0]["stale"]


def test_a_changed_model_is_found_marked_and_unmarked(
    store: Store, endpoint: SkillEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build_labels(store, Level.SUBJECT, pool="all", benchmark=None, split="train")
    assert measure(store, "ann", [], 60) == [Repeated("skills", 60, 60)]
    same = verify(store, "ann", None)
    assert (same.verdict, same.agreed, same.is_measured) == (Verdict.SAME, same.n, True)
    assert same.own_agreement == pytest.approx(0.05 ** (1 / 60))
    assert n_stale(store) == 0

    monkeypatch.setitem(skill_endpoint.KNOWS, "red", skill_endpoint.KNOWS["green"])
    before = sum(endpoint.seen.values())
    changed = verify(store, "ann", "skills")
    assert (changed.verdict, changed.n < 60) == (Verdict.DRIFTED, True)
    assert sum(endpoint.seen.values()) - before < changed.n + 10, "a micro-batch, and the probe of a load"
    assert n_stale(store) == 3, "the subjects that ann knew"
    with store.reading() as connection:
        assert checks.drifted(connection).keys() == {"ann"}

    monkeypatch.undo()
    assert verify(store, "ann", None).verdict is Verdict.SAME
    assert n_stale(store) == 0
    with store.reading() as connection:
        assert checks.drifted(connection) == {}
        assert checks.count(connection, 1) == 4


def test_few_questions_decide_nothing_and_an_endpoint_that_fails_says_so(
    store: Store, endpoint: SkillEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = verify(store, "ann", None, most=5)
    assert (few.verdict, few.n, few.is_measured, few.own_agreement) == (Verdict.UNDECIDED, 5, False, 0.9)
    monkeypatch.setattr(endpoint, "expected", lambda model, prompt: json.loads("broken"))
    with pytest.raises(BenchcoeError):
        verify(store, "ann", None)


def test_a_check_in_which_every_question_ends_in_an_error_says_so_and_is_not_stored(
    store: Store, endpoint: SkillEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(store, "ann", [], 5)
    reply = endpoint.reply

    def refuse(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        is_a_question = body.get("prompt", "").startswith("Q: ")
        return (400, {"error": {"message": "no"}}) if is_a_question else reply(path, body)

    monkeypatch.setattr(endpoint, "reply", refuse)
    with pytest.raises(BenchcoeError, match="3 questions ended in an error"):
        verify(store, "ann", None, most=3)
    with pytest.raises(BenchcoeError, match="1 question ended in an error"):
        measure(store, "ann", [], 1)
    with store.reading() as connection:
        assert checks.count(connection, 1) == 1


def test_what_cannot_be_verified(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "skills.jsonl"
    write_questions(path, 30)
    add_benchmark(store, "skills", path)
    with pytest.raises(UsageError, match="unknown expert 'ann'"):
        verify(store, "ann", None)
    with store.writing() as connection:
        experts.add_expert(connection, ExpertRow("ann", "openai", "red", settings={"base_url": "http://127.0.0.1:1"}))
        experts.add_expert(connection, ExpertRow("bob", "recorded"))
    with pytest.raises(UsageError, match="`benchcoe-jobs profile ann` asks it"):
        verify(store, "ann", None)
    with pytest.raises(UsageError, match="has no engine"):
        verify(store, "bob", None)


def test_an_expert_is_removed_with_its_checks(store: Store, endpoint: SkillEndpoint, tmp_path: Path) -> None:
    measure(store, "ann", [], 5)
    remove(store, tmp_path, "expert", "ann")
    with store.reading() as connection:
        assert checks.count(connection, 1) == 0
