"""The experiment files for the multimodal stages of the paper are valid and name benchmarks of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchcoe_jobs import registry
from benchcoe_jobs.services.experiments.plan import Protocol, read_experiment

FILES = sorted((Path(__file__).parents[2] / "docs" / "experiments").glob("*.toml"))

STAGES = {
    ("mmmu", None): (Protocol.NAIVE, Protocol.IN_DISTRIBUTION),
    ("mmmu", "mmstar"): (Protocol.OTHER_BENCHMARK,),
    ("scienceqa", None): (Protocol.NAIVE, Protocol.IN_DISTRIBUTION),
}


def test_every_stage_has_its_file() -> None:
    found = [read_experiment(file) for file in FILES]
    assert {(plan.benchmark, plan.other_benchmark): plan.protocols for plan in found} == STAGES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_runs_on_any_store_with_such_results(file: Path) -> None:
    plan = read_experiment(file)
    assert {plan.benchmark, plan.other_benchmark} - {None} <= set(registry.names("benchmarks"))
    assert plan.pools == {"all": ()}, "the experts are those of the store"
    assert {router.level for router in plan.routers} == {"subject", "query"}
