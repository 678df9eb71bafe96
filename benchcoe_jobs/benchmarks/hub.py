"""Download a benchmark from the Hugging Face hub at a fixed commit, never at a branch.

A branch changes: two experts profiled a month apart would answer different questions.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchcoe_jobs.benchmarks.base import Benchmark
from benchcoe_jobs.errors import MissingError, UsageError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(benchmark: Benchmark, revision: str | None = None) -> Path:
    """Download the files of a benchmark, or find them in the hub's cache; returns their folder.

    `revision` is a commit (40 hexadecimal digits), by default the one that the benchmark pins. Raises UsageError if
    the hub does not have the benchmark at that commit or if no commit is known, MissingError without huggingface_hub
    or if the hub cannot be reached.
    """
    source = benchmark.hub
    if source is None:
        raise UsageError(f"{benchmark.name} is not on the hub together with its prompts: name a local folder")
    revision = revision or source.revision
    if revision is None:
        raise UsageError(
            f"no commit of {source.repo} is pinned; name one with --revision"
            f" (see https://huggingface.co/datasets/{source.repo}/commits/main)"
        )
    if not _COMMIT.fullmatch(revision):
        raise UsageError(f"revision {revision!r} is not a commit of 40 hexadecimal digits: a branch or tag may change")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    except ImportError as error:
        raise MissingError("the hub needs another package: pip install 'benchcoe-jobs[hub]'") from error
    try:
        folder = snapshot_download(
            source.repo, repo_type="dataset", revision=revision, allow_patterns=list(source.patterns)
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UsageError(f"the hub has no data set {source.repo} at commit {revision}") from error
    except OSError as error:  # also the base class of the hub's errors
        reason = str(error).strip().partition("\n")[0]
        raise MissingError(f"{source.repo} at {revision[:12]} cannot be fetched from the hub: {reason}") from error
    return Path(folder)
