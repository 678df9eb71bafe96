"""The demo experts in the engines: correct answers, and the same from both except for near-ties."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from needs import require_vllm

from benchcoe_jobs import demo
from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.skills import Skills
from benchcoe_jobs.demo import train
from benchcoe_jobs.demo.questions import SUBJECTS, write_questions
from benchcoe_jobs.domain import Completion, Query
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.transformers import TransformersEngine

NEAR_TIE = 1e-3
"""The logits of these models are about 10 to 100, so float32 has about five decimals of them."""

SKILLS = Skills()


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> list[Query]:
    path = tmp_path_factory.mktemp("skills") / "skills.jsonl"
    write_questions(path, 500 // len(SUBJECTS) + 1)
    return list(SKILLS.load(path))[:500]


def ask(engine: str, expert: str, queries: Sequence[Query]) -> list[Completion]:
    with EngineClient(ExpertSettings(engine, str(demo.model_folder(expert)))) as client:
        return client.run([SKILLS.request(query, NO_SHOTS) for query in queries], SKILLS.decoding)


def accuracy(queries: Sequence[Query], completions: Sequence[Completion]) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for query, completion in zip(queries, completions, strict=True):
        scores.setdefault(query.subject, []).append(SKILLS.score(completion.text, query).score)
    return {subject: sum(values) / len(values) for subject, values in scores.items()}


@pytest.mark.parametrize("expert", ["speller"])
def test_an_expert_is_good_at_its_skills_and_bad_at_another(expert: str, queries: list[Query]) -> None:
    found = accuracy(queries, ask("transformers", expert, queries))
    assert all(found[subject] > 0.9 for subject in demo.SKILLS[expert])
    assert found["arithmetic"] < 0.5


@pytest.mark.parametrize("expert", ["clerk", "historian"])
def test_vllm_and_transformers_give_the_same_answers(expert: str, queries: list[Query]) -> None:
    require_vllm()
    ours, theirs = (ask(engine, expert, queries) for engine in ("transformers", "vllm"))
    differing = [n for n in range(len(queries)) if ours[n].text != theirs[n].text]
    assert len(differing) <= 0.02 * len(queries)
    for n in differing:
        assert margin(expert, queries[n], ours[n].text, theirs[n].text) < NEAR_TIE
    found = accuracy(queries, theirs)
    assert all(found[subject] > 0.9 for subject in demo.SKILLS[expert])


def margin(expert: str, query: Query, one: str, other: str) -> float:
    """The difference of the two largest logits at the first token in which two answers differ."""
    engine = TransformersEngine()
    engine.load(ExpertSettings("transformers", str(demo.model_folder(expert))))
    model = engine._model
    rows = [model.tokenizer(SKILLS.request(query, NO_SHOTS).question + text)["input_ids"] for text in (one, other)]
    shared = next((n for n, (a, b) in enumerate(zip(*rows, strict=False)) if a != b), min(map(len, rows)))
    with torch.inference_mode():
        best, second = model._model(input_ids=torch.tensor([rows[0][:shared]])).logits[0, -1].topk(2).values
    return float(best - second)


def test_training_is_reproducible(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        first, again = (train.train("reckoner", steps=2).state_dict() for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(first[name], again[name]) for name in first)
    train.tokenizer().save_pretrained(tmp_path)
    shipped = demo.model_folder("reckoner") / "tokenizer.json"
    assert (tmp_path / "tokenizer.json").read_text() == shipped.read_text()
