"""The settings of an expert, from a command line to the store and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchcoe_jobs.domain import RECORDED
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.services.inference.expert_settings import new_expert, settings_of
from benchcoe_jobs.store.results.experts import ExpertRow

COSTS = {"cost": 2.0, "price_in": None}


def test_only_settings_that_are_given_and_not_the_default_are_stored() -> None:
    given = {"dtype": "bfloat16", "batch_size": 32, "max_model_len": None}
    expert = new_expert("ann", "transformers", "owner/name", "main", COSTS, given)
    assert expert == ExpertRow("ann", "transformers", "owner/name", "main", {"dtype": "bfloat16"}, cost=2.0)
    assert expert.can_answer
    assert settings_of(expert) == ExpertSettings("transformers", "owner/name", "main", dtype="bfloat16")


def test_names_of_accepted_models_are_stored_as_json_returns_them() -> None:
    """Registering the same expert once more finds the same settings."""
    given = {"accept_model": ("a", "b*"), "timeout_s": 600.0, "reasoning": "keep", "no_temperature": None}
    expert = new_expert("ann", "openai", "m", None, COSTS, given)
    assert expert.settings == json.loads(json.dumps(expert.settings))
    assert expert.settings == {"accept_model": ["a", "b*"], "reasoning": "keep"}
    assert settings_of(expert).accept_model == ("a", "b*")
    assert new_expert("ann", "openai", "m", None, COSTS, {"accept_model": ()}).settings == {}


def test_an_expert_with_imported_results_has_neither_a_model_nor_settings() -> None:
    expert = new_expert("ann", RECORDED, None, None, COSTS, {"dtype": None})
    assert not expert.can_answer
    with pytest.raises(UsageError, match=r"expert 'ann' has no engine: .*`benchcoe-jobs import-results`"):
        settings_of(expert)
    with pytest.raises(UsageError, match="engine recorded runs nothing and has no setting dtype, tensor_parallel"):
        new_expert("ann", RECORDED, None, None, COSTS, {"dtype": "float32", "tensor_parallel": 2})


@pytest.mark.parametrize(("engine", "is_absolute"), [("transformers", True), ("vllm", True), ("openai", False)])
def test_a_model_folder_is_stored_with_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, is_absolute: bool
) -> None:
    (tmp_path / "owner" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    model = new_expert("ann", engine, "owner/tiny", None, COSTS, {}).model
    assert model == (str(tmp_path / "owner" / "tiny") if is_absolute else "owner/tiny"), "an endpoint knows no folders"


def test_a_model_folder_that_does_not_exist() -> None:
    with pytest.raises(InputError, match=r"\./tiny is not an existing folder"):
        new_expert("ann", "transformers", "./tiny", None, COSTS, {})
    assert new_expert("ann", "vllm", "/on/the/gpu/machine", None, COSTS, {}).model == "/on/the/gpu/machine"


def test_an_engine_needs_a_model() -> None:
    with pytest.raises(UsageError, match="engine vllm needs --model"):
        new_expert("ann", "vllm", None, None, COSTS, {})


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "https://ann:hunter2@host/v1"},
        {"base_url": "https://hunter2@host/v1"},
        {"base_url": "https://host/v1?api_key=hunter2"},
        {"api_key_env": "sk-hunter2"},
        {"api_key_env": "hf_hunter2hunter2hunter2"},
        {"api_key_env": "hunter2 "},
    ],
)
def test_a_secret_is_neither_stored_nor_shown(given: dict[str, str]) -> None:
    with pytest.raises(UsageError) as refused:
        new_expert("ann", "openai", "m", None, COSTS, given)
    assert "hunter2" not in str(refused.value)


def test_addresses_and_variables_that_hold_no_secret() -> None:
    given = {"base_url": "http://host:8000/v1/models@latest", "api_key_env": "OPENAI_API_KEY"}
    assert new_expert("ann", "openai", "m", None, COSTS, given).settings == given
