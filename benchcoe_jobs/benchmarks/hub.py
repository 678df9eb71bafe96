"""Fetching a benchmark from the Hugging Face hub, at a commit and never at a branch.

A branch moves: two experts profiled a month apart would answer different questions.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchcoe_jobs.benchmarks.base import Benchmark
from benchcoe_jobs.errors import MissingError, UsageError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(benchmark: Benchmark, revision: str | None = None) -> Path:
    """Download a benchmark's files, or find them in the hub's cache; returns the folder that holds them.

    `revision` is a commit (40 hexadecimal digits); None takes the one that the benchmark pins.
    Raises UsageError where the hub does not have the benchmark at that commit or no commit is known,
    MissingError without huggingface_hub and where the hub cannot be reached.
    """
    source = benchmark.hub
    if source is None:
        raise UsageError(f"{benchmark.name} is not on the hub in a form with its prompts; name a local folder")
    revision = revision or source.revision
    if revision is None:
        raise UsageError(
            f"no commit of {source.repo} is pinned; name one with --revision"
            f" (see https://huggingface.co/datasets/{source.repo}/commits/main)"
        )
    if not _COMMIT.fullmatch(revision):
        raise UsageError(f"revision {revision!r} is no commit of 40 hexadecimal digits: a branch or tag may move")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    except ImportError as error:
        raise MissingError("the hub needs a package more: pip install 'benchcoe-jobs[hub]'") from error
    try:
        folder = snapshot_download(
            source.repo, repo_type="dataset", revision=revision, allow_patterns=list(source.patterns)
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UsageError(f"the hub has no data set {source.repo} at commit {revision}") from error
    except OSError as error:  # the root of the hub's own errors too
        reason = str(error).strip().partition("\n")[0]
        raise MissingError(f"{source.repo} at {revision[:12]} cannot be fetched from the hub: {reason}") from error
    return Path(folder)
