"""An engine client for each engine; a loopback endpoint that answers with one of the models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import KEY_VARIABLE, Loopback, serving
from needs import require_vllm

from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.transformers import TransformersEngine

KEY = "sk-tiny-0123456789abcdef"


@pytest.fixture(scope="session")
def local(llama: Path) -> TransformersEngine:
    """The engine in this process, for tests of its internal state."""
    engine = TransformersEngine()
    engine.load(ExpertSettings("transformers", str(llama)))
    return engine


@pytest.fixture(scope="session")
def shared_endpoint(local: TransformersEngine) -> Iterator[Loopback]:
    with serving(local) as state:
        yield state


@pytest.fixture
def endpoint(shared_endpoint: Loopback) -> Iterator[Loopback]:
    shared_endpoint.seen.clear()
    yield shared_endpoint
    # Afterwards, because `client` uses the endpoint as well.
    shared_endpoint.faults.clear()
    shared_endpoint.outage = None
    shared_endpoint.echo = "vllm"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return KEY


@pytest.fixture(scope="session", params=["transformers", "vllm", "openai"])
def client(request: pytest.FixtureRequest, llama: Path) -> Iterator[EngineClient]:
    """The tiny Llama in each engine, loaded once."""
    if request.param == "vllm":
        require_vllm()
    if request.param == "openai":
        url = request.getfixturevalue("shared_endpoint").url
        settings = ExpertSettings("openai", "tiny", base_url=url, timeout_s=60, deadline_s=60)
    else:
        settings = ExpertSettings(request.param, str(llama))
    with EngineClient(settings, load_timeout_s=600) as opened:
        opened.load()
        yield opened
