"""A store for a whole module of property tests, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import Store, connect


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "postgresql":
        url = request.getfixturevalue("fresh_postgres")(True)
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('labels') / 'store.db'}"
    store = connect(url)
    upgrade(store)
    yield store
    store.close()
