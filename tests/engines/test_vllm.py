"""The engine vllm: its worker processes end with it, losing one loses no answer, and its errors are typed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

import pytest
import tiny
from needs import require_vllm
from process_groups import assert_gone, members, server_pid

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
    """The worker process of vLLM, by the name that it gives itself (at most 15 bytes)."""
    for pid in members(group):
        if Path(f"/proc/{pid}/comm").read_text().startswith("VLLM::EngineCor"):
            return pid
    raise AssertionError("no worker process of vLLM")


def abandoned_memory() -> set[Path]:
    """The segments of shared memory that no process has mapped. Another vLLM on this machine has some of its own."""
    segments = set(SHARED_MEMORY.glob("psm_*"))
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # the process has ended
            mapped = maps.read_text()
            segments = {segment for segment in segments if str(segment) not in mapped}
    return segments


def test_a_killed_worker_process_loses_no_answer(llama: Path) -> None:
    abandoned = abandoned_memory()
    with EngineClient(ExpertSettings("vllm", str(llama))) as client:
        before = [one.text for one in client.run(QUESTIONS, GREEDY)]
        first = server_pid(client)
        os.kill(engine_core(first), signal.SIGKILL)
        assert [one.text for one in client.run(QUESTIONS, GREEDY)] == before
        assert client.loads == 2
        assert_gone(first)
        second = server_pid(client)
        os.kill(second, signal.SIGKILL)
        assert_gone(second)
    assert abandoned_memory() <= abandoned


def test_answers_to_images_are_those_of_transformers(idefics: Path) -> None:
    requests = [
        Request("Look", images=(tiny.picture(10),)),
        Request("At both", images=(tiny.picture(250), tiny.picture(10))),
        Request("Look", images=(b"no picture",)),
        Request("~" * 600, images=(tiny.picture(10),)),
        Request("Look", shots=("~" * 300, "~" * 300), images=(tiny.picture(250),)),
        Request("No picture"),
    ]
    found, image_processors = [], []
    for engine in ("transformers", "vllm"):
        with EngineClient(ExpertSettings(engine, str(idefics))) as client:
            answers = client.run(requests, GREEDY)
            image_processors.append(client.version()["image_processor"])
            assert [one.error is None for one in answers] == [True, True, False, False, True, True]
            assert "cannot be decoded" in str(answers[2].error)
            assert "context too long" in str(answers[3].error)
            found.append([(one.text, one.prompt_tokens, one.shots_used, one.finish_reason) for one in answers])
    assert found[0] == found[1]
    assert image_processors[0] == image_processors[1]


def test_too_little_memory_is_an_error_of_its_own_type(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache has no space."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "-1")
    with EngineClient(ExpertSettings("vllm", str(llama))) as client, pytest.raises(OutOfMemoryError):
        client.load()


@pytest.mark.parametrize("spoil", ["tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_model_is_an_error(llama: Path, tmp_path: Path, spoil: str) -> None:
    folder = shutil.copytree(llama, tmp_path / "spoiled")
    (folder / spoil).unlink()
    with EngineClient(ExpertSettings("vllm", str(folder))) as client, pytest.raises(ModelNotFoundError):
        client.load()


def test_a_context_larger_than_the_models_is_an_error(llama: Path) -> None:
    settings = ExpertSettings("vllm", str(llama), max_model_len=4096)
    with EngineClient(settings) as client, pytest.raises(UsageError, match="max_model_len cannot be 4096"):
        client.load()
