"""What is known of experts that cannot see: from their answers, and from the configuration of their model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.services.routing.sight import blind_experts
from benchcoe_jobs.store.results import catalog, experts, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import ErrorRow, NewScore
from benchcoe_jobs.store.session import Store


def test_an_expert_whose_answers_about_pictures_are_all_errors_is_blind(store: Store) -> None:
    """eve fails at pictures alone, bob answered one, ann had none to answer, and cat's results are imported."""
    queries = [
        Query("text", "maps", "Where?", split=Split.TRAIN),
        Query("one", "maps", "What?", split=Split.TRAIN, images=(b"1",)),
        Query("two", "maps", "Which?", split=Split.TRAIN, images=(b"1", b"2")),
    ]
    answered = {"ann": ["text"], "bob": ["text", "one"], "cat": [], "eve": ["text"]}
    failed = {"ann": [], "bob": ["two"], "cat": [], "eve": ["one", "two"]}
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "toy")
        stored = catalog.add_queries(connection, benchmark_id, queries)
        for name in answered:
            engine = "recorded" if name == "cat" else "openai"
            experts.add_expert(connection, ExpertRow(name, engine, None if name == "cat" else "m", None, {}))
            expert_id = experts.find_expert(connection, name)
            run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"engine": name})
            answers = [NewScore(stored[key].id, stored[key].stratum_id, 1.0, text="A") for key in answered[name]]
            responses.write_scores(connection, expert_id, run_id, answers)
            errors = [ErrorRow(stored[key].id, "model m does not accept images", 0.1) for key in failed[name]]
            responses.write_errors(connection, run_id, errors)
        members = experts.expert_ids(connection)
        assert blind_experts(connection, members) == ["eve"]
        assert blind_experts(connection, {"ann": members["ann"]}) == []


@pytest.mark.parametrize(
    ("config", "is_blind"),
    [
        ({"architectures": ["LlamaForCausalLM"], "hidden_size": 8}, True),
        ({"architectures": ["GPT2LMHeadModel"]}, True),
        ({"architectures": ["Idefics3ForConditionalGeneration"], "vision_config": {}}, False),
        ({"architectures": ["FuyuForCausalLM"], "image_size": 300}, False),
        ({"architectures": ["Phi3VForCausalLM"], "img_processor": {}}, False),
        ({"architectures": ["T5ForConditionalGeneration"]}, False),
        ({"architectures": None}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_a_folder_with_a_causal_language_model(store: Store, tmp_path: Path, config: object, is_blind: bool) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with store.writing() as connection:
        experts.add_expert(connection, ExpertRow("ann", "transformers", str(tmp_path), None, {}))
        assert blind_experts(connection, experts.expert_ids(connection)) == (["ann"] if is_blind else [])
