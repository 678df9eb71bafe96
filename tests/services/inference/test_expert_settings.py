"""The settings of an expert, from a command line to the store and back."""

from __future__ import annotations

import pytest

from benchcoe_jobs.domain import RECORDED
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.inference.expert_settings import new_expert, settings_of
from benchcoe_jobs.store.results.experts import ExpertRow

COSTS = {"cost": 2.0, "price_in": None}


def test_only_settings_that_are_given_and_not_the_default_are_stored() -> None:
    given = {"dtype": "bfloat16", "batch_size": 32, "max_model_len": None}
    expert = new_expert("ann", "transformers", "owner/name", "main", COSTS, given)
    assert expert == ExpertRow("ann", "transformers", "owner/name", "main", {"dtype": "bfloat16"}, cost=2.0)
    assert expert.can_answer
    assert settings_of(expert) == ExpertSettings("transformers", "owner/name", "main", dtype="bfloat16")


def test_an_expert_with_imported_results_has_neither_a_model_nor_settings() -> None:
    expert = new_expert("ann", RECORDED, None, None, COSTS, {"dtype": None})
    assert not expert.can_answer
    with pytest.raises(UsageError, match=r"expert 'ann' has no engine: .*`benchcoe-jobs import-results`"):
        settings_of(expert)
    with pytest.raises(UsageError, match="engine recorded runs nothing and has no setting dtype, tensor_parallel"):
        new_expert("ann", RECORDED, None, None, COSTS, {"dtype": "float32", "tensor_parallel": 2})


def test_an_engine_needs_a_model() -> None:
    with pytest.raises(UsageError, match="engine vllm needs --model"):
        new_expert("ann", "vllm", None, None, COSTS, {})
