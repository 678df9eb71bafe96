"""The engine vllm: its own processes end with it, losing one of them loses no answer, and its errors are typed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import tiny
from needs import require_vllm
from test_host import assert_gone, child_of, members

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.errors import ModelNotFoundError, OutOfMemoryError
from benchcoe_jobs.errors import UsageError

QUESTIONS = [Request("What is two?"), Request("The answer is")]
GREEDY = Decoding(max_new_tokens=8)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (looked at, not written to)


@pytest.fixture(autouse=True)
def vllm() -> None:
    require_vllm()


def engine_core(group: int) -> int:
    """vLLM's own process: its kernel is told its name (at most 15 bytes of it)."""
    for pid in members(group):
        if Path(f"/proc/{pid}/comm").read_text().startswith("VLLM::EngineCor"):
            return pid
    raise AssertionError("no process of vLLM's own")


def test_the_death_of_vllms_own_process_loses_no_answer(llama: Path) -> None:
    shared = set(SHARED_MEMORY.glob("psm_*"))
    with EngineClient(ExpertSettings("vllm", str(llama))) as host:
        before = [one.text for one in host.run(QUESTIONS, GREEDY)]
        first = child_of(host)
        os.kill(engine_core(first), signal.SIGKILL)
        assert [one.text for one in host.run(QUESTIONS, GREEDY)] == before
        assert host.loads == 2
        assert_gone(first, within_s=10)
        second = child_of(host)
        os.kill(second, signal.SIGKILL)
        assert_gone(second, within_s=10)
    assert set(SHARED_MEMORY.glob("psm_*")) <= shared


def test_images_give_the_answers_that_transformers_gives(idefics: Path) -> None:
    requests = [
        Request("Look", images=(tiny.picture(10),)),
        Request("At both", images=(tiny.picture(250), tiny.picture(10))),
        Request("Look", images=(b"no picture",)),
        Request("~" * 600, images=(tiny.picture(10),)),
        Request("Look", shots=("~" * 300, "~" * 300), images=(tiny.picture(250),)),
        Request("No picture"),
    ]
    said = []
    for engine in ("transformers", "vllm"):
        with EngineClient(ExpertSettings(engine, str(idefics))) as host:
            answers = host.run(requests, GREEDY)
            assert [one.error is None for one in answers] == [True, True, False, False, True, True]
            assert "cannot be decoded" in str(answers[2].error)
            assert "context too long" in str(answers[3].error)
            said.append([(one.text, one.prompt_tokens, one.shots_used, one.finish_reason) for one in answers])
    assert said[0] == said[1]


def test_memory_that_does_not_suffice(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of no byte at all."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "-1")
    with EngineClient(ExpertSettings("vllm", str(llama))) as host, pytest.raises(OutOfMemoryError):
        host.load()


@pytest.mark.parametrize("spoil", ["tokenizer.json", "model.safetensors"])
def test_folders_that_are_no_model(llama: Path, tmp_path: Path, spoil: str) -> None:
    folder = shutil.copytree(llama, tmp_path / "spoiled")
    (folder / spoil).unlink()
    with EngineClient(ExpertSettings("vllm", str(folder))) as host, pytest.raises(ModelNotFoundError):
        host.load()


def test_a_context_that_the_model_does_not_have(llama: Path) -> None:
    settings = ExpertSettings("vllm", str(llama), max_model_len=4096)
    with EngineClient(settings) as host, pytest.raises(UsageError, match="max_model_len cannot be 4096"):
        host.load()
