"""The fast part of bench/faults.py: every fault once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_plugins
import fault_ground
import pytest
import scenarios
from installation import Postgres, Site
from local_servers import short_folder
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


@pytest.mark.parametrize("scenario", scenarios.EVERYWHERE, ids=lambda scenario: scenario.__name__)
def test_on_both_databases(scenario: fault_ground.Scenario, store_url: str, undisturbed: Site, tmp_path: Path) -> None:
    with fault_ground.ground(tmp_path / "site", store_url, undisturbed) as ground:
        scenario(ground)


@pytest.mark.parametrize("scenario", scenarios.ON_POSTGRES, ids=lambda scenario: scenario.__name__)
def test_on_postgresql(
    scenario: fault_ground.Scenario, fresh_postgres: Callable[[bool], str], undisturbed: Site, tmp_path: Path
) -> None:
    with fault_ground.ground(tmp_path / "site", fresh_postgres(True), undisturbed) as ground:
        scenario(ground)


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize("scenario", scenarios.ON_SQLITE, ids=lambda scenario: scenario.__name__)
def test_on_sqlite(scenario: fault_ground.Scenario, store_url: str, undisturbed: Site, tmp_path: Path) -> None:
    with fault_ground.ground(tmp_path, store_url, undisturbed) as ground:
        scenario(ground)


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize("scenario", scenarios.WITH_VLLM, ids=lambda scenario: scenario.__name__)
def test_vllm(scenario: fault_ground.Scenario, store_url: str, undisturbed: Site, tmp_path: Path) -> None:
    require_vllm()
    with fault_ground.ground(tmp_path, store_url, undisturbed) as ground:
        scenario(ground)


@pytest.mark.parametrize("scenario", scenarios.ON_A_POSTGRES_OF_OUR_OWN, ids=lambda scenario: scenario.__name__)
def test_a_database_that_restarts(scenario: fault_ground.Scenario, undisturbed: Site, tmp_path: Path) -> None:
    with short_folder() as folder:
        postgres = Postgres(folder / "data")
        try:
            with fault_ground.ground(tmp_path, postgres.fresh("site"), undisturbed, postgres) as ground:
                scenario(ground)
        finally:
            postgres.stop()
