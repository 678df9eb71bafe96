"""A store for the property tests of a module, and a small store with scores, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from label_worlds import World, fill

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


@pytest.fixture
def filled(store: Store) -> Store:
    """The benchmark `bench` with five queries, all scored for two experts.

    On maths in train, a and b are tied: both have the mean 2/3, and a is cheaper. On law in train, b is best.
    """
    fill(
        store,
        World(
            queries={
                "q1": ("maths", "train"),
                "q2": ("maths", "train"),
                "q3": ("maths", "train"),
                "q4": ("maths", "test"),
                "q5": ("law", "train"),
            },
            costs={"a": 1.0, "b": 2.0},
            pools={"all": ({"a", "b"}, 0.95), "one": ({"a"}, 0.95)},
            batches=[
                ("a", {"q1": 1.0, "q2": 1.0, "q3": 0.0, "q4": 1.0, "q5": 0.0}),
                ("b", {"q1": 0.0, "q2": 1.0, "q3": 1.0, "q4": 0.0, "q5": 1.0}),
            ],
        ),
    )
    return store
