"""A few of the fault scenarios, each once. `bench/faults.py --fast` runs the others."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_plugins
import fault_ground
import pytest
import scenarios
import server_faults
import stop_faults
import worker_faults
from installation import Site
from needs import require_vllm


@pytest.fixture(scope="module", autouse=True)
def _plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        fake_plugins.install(tmp_path_factory.mktemp("orders"), patch)
        yield


@pytest.fixture(scope="module")
def undisturbed(_plugins: None, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(sqlite_template, folder / "benchcoe.db")
    site = fault_ground.undisturbed(folder, f"sqlite:///{folder / 'benchcoe.db'}")
    yield site
    site.close()


def _on(database: str) -> pytest.MarkDecorator:
    found = [scenario for scenario, its_database in scenarios.IN_THE_SUITE if its_database == database]
    return pytest.mark.parametrize("scenario", found, ids=lambda scenario: scenario.__name__)


@_on(scenarios.POSTGRESQL)
def test_on_postgresql(
    scenario: fault_ground.Scenario, fresh_postgres: Callable[[bool], str], undisturbed: Site, tmp_path: Path
) -> None:
    with fault_ground.ground(tmp_path / "site", fresh_postgres(True), undisturbed) as ground:
        scenario(ground)


@pytest.mark.parametrize("dialect", ["sqlite"])
@_on(scenarios.SQLITE)
def test_on_sqlite(scenario: fault_ground.Scenario, store_url: str, undisturbed: Site, tmp_path: Path) -> None:
    with fault_ground.ground(tmp_path, store_url, undisturbed) as ground:
        scenario(ground)


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize("scenario", scenarios.WITH_VLLM, ids=lambda scenario: scenario.__name__)
def test_vllm(scenario: fault_ground.Scenario, store_url: str, undisturbed: Site, tmp_path: Path) -> None:
    require_vllm()
    with fault_ground.ground(tmp_path, store_url, undisturbed) as ground:
        scenario(ground)


def test_every_scenario_is_run_by_the_suite_or_by_the_script() -> None:
    written = {
        function
        for module in (server_faults, stop_faults, worker_faults)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    pairs = scenarios.pairs()
    assert {scenario for scenario, _ in pairs} | set(scenarios.WITH_VLLM) == written
    assert set(scenarios.IN_THE_SUITE) <= set(pairs)
    assert len(pairs) == len(set(pairs))
