"""The configuration of the LiteLLM proxy, and the accuracy of its auto-router."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_worlds import SECRET, N, encoder_folder, endpoint, export_file, fill

from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.services.export.semantic_routes import EXAMPLES
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store

ENDPOINTS = {"embedder": {"url": "http://127.0.0.1:9000/v1", "model": "m"}}

dialect = pytest.fixture(name="dialect")(lambda: "sqlite")


def test_the_pool_is_behind_an_auto_router_whose_accuracy_is_stated(store: Store, tmp_path: Path) -> None:
    fill(
        store,
        {"ann": (0.9, 0.1), "bob": (0.3, 0.8)},
        rows=[endpoint("ann", price_in=2.0), ExpertRow("bob", "recorded")],
    )
    endpoints: dict[str, Any] = ENDPOINTS | {"bob": {"url": "http://127.0.0.1:8001/v1"}}
    path = tmp_path / "config.yaml"
    exported = export_file(store, "litellm", path, {"endpoints": endpoints, "encoder": encoder_folder()})
    held_out = exported.figures["held_out"]
    assert held_out["n"] == 2 * N
    assert held_out["best_single_accuracy"] == pytest.approx(0.55)
    assert held_out["accuracy"] == pytest.approx(0.85), "law goes to ann and math to bob"
    assert "accuracy 85.0 % on 40 held-out queries, +30.0 points" in exported.notes[0]
    text = path.read_text(encoding="utf-8")
    assert "accuracy 85.0 % on 40 held-out queries" in text.splitlines()[0]
    models = {one["model_name"]: one for one in yaml.safe_load(text)["model_list"]}
    assert set(models) == {"ann", "bob", "benchcoe-embedder", "benchcoe-auto"}
    assert models["ann"]["litellm_params"] == {
        "model": "openai/org/ann",
        "api_base": "http://127.0.0.1:8000/ann/v1",
        "api_key": "os.environ/SOME_API_KEY",
    }
    assert models["ann"]["model_info"] == {"input_cost_per_token": pytest.approx(2e-6)}
    assert models["bob"]["litellm_params"] == {"model": "hosted_vllm/bob", "api_base": "http://127.0.0.1:8001/v1"}
    auto = models["benchcoe-auto"]["litellm_params"]
    assert (auto["model"], auto["auto_router_default_model"]) == ("auto_router/benchcoe-auto", "bob")
    routes = json.loads(auto["auto_router_config"])["routes"]
    assert {route["name"]: len(route["utterances"]) for route in routes} == dict.fromkeys(
        ["ann", "bob"], min(N, EXAMPLES)
    )
    assert all(utterance.startswith("law train") for utterance in routes[0]["utterances"])


def test_a_server_of_embeddings_is_needed(store: Store, tmp_path: Path) -> None:
    fill(store, {"ann": (0.9, 0.1), "bob": (0.3, 0.8)})
    with pytest.raises(BenchcoeError, match="a server of embeddings is needed: give --endpoints"):
        export_file(store, "litellm", tmp_path / "config.yaml")
    with pytest.raises(BenchcoeError, match="key_env is the name of an environment variable") as error:
        export_file(
            store,
            "litellm",
            tmp_path / "b.yaml",
            {"endpoints": {"embedder": ENDPOINTS["embedder"] | {"key_env": SECRET}}},
        )
    assert SECRET not in str(error.value)
