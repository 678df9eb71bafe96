"""Downloads from the hub: the requests, and what is refused before a request. Without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks.hub import fetch
from benchcoe_jobs.errors import MissingError, UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINNED = ["hellaswag", "mmlu-pro", "mmmu"]
UNPINNED = ["mmstar", "scienceqa", "winogrande"]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def snapshot_download(repo: str, **given: Any) -> str:
        calls.append({"repo": repo, **given})
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


@pytest.mark.parametrize("name", PINNED)
def test_a_pinned_commit(requests: list[dict[str, Any]], name: str, tmp_path: Path) -> None:
    benchmark = registry.load("benchmarks", name)()
    assert fetch(benchmark) == tmp_path
    [call] = requests
    assert (call["repo"], call["revision"]) == (benchmark.hub.repo, benchmark.hub.revision)
    assert (call["repo_type"], call["allow_patterns"]) == ("dataset", list(benchmark.hub.patterns))


@pytest.mark.parametrize("name", UNPINNED)
def test_without_a_pin_the_user_names_the_commit(requests: list[dict[str, Any]], name: str) -> None:
    benchmark = registry.load("benchmarks", name)()
    with pytest.raises(UsageError, match="--revision"):
        fetch(benchmark)
    fetch(benchmark, COMMIT)
    assert [call["revision"] for call in requests] == [COMMIT]


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT.upper()])
def test_a_branch_is_refused(requests: list[dict[str, Any]], revision: str) -> None:
    with pytest.raises(UsageError, match="not a commit"):
        fetch(registry.load("benchmarks", "mmmu")(), revision)
    assert not requests


def test_bbh_is_local() -> None:
    with pytest.raises(UsageError, match="local folder"):
        fetch(registry.load("benchmarks", "bbh")())


def test_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(repo: str, **given: Any) -> str:
        raise LocalEntryNotFoundError("No connection.\nMore words.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(
        MissingError, match=r"MMMU/MMMU at 98e6ac0cb9b7 cannot be fetched from the hub: No connection\.$"
    ):
        fetch(registry.load("benchmarks", "mmmu")())


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[hub\]'"):
        fetch(registry.load("benchmarks", "mmmu")())
