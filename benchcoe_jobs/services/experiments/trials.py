"""Trials of an experiment and their outcomes, stored as one file each.

The name of a file is a hash of everything that determines the outcome, so that a run that was killed continues where it
was, and other data or settings are other trials.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchcoe_jobs.errors import StoreError
from benchcoe_jobs.files import open_regular, write_whole
from benchcoe_jobs.services.experiments.plan import Protocol, RouterSpec
from benchcoe_jobs.services.experiments.resplit import PoolSpec

TEMPORARY = ".resplit-"
"""The prefix of temporary folders beside the outcomes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One router to train and evaluate. `fold` is the subject or source that is held out, or empty."""

    protocol: Protocol
    fold: str
    seed: int
    pool: str
    router: RouterSpec

    def __str__(self) -> str:
        held_out = f" {self.fold}" if self.fold else ""
        return f"{self.protocol}{held_out}, seed {self.seed}, pool {self.pool}, router {self.router.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a trial: the report as `evaluate --json` prints it, and the gain over the best single expert by
    query key, for the queries of the report.
    """

    trial: Trial
    report: dict[str, Any]
    gains: dict[str, float]


class TrialStore:
    """The outcomes in a folder, one file each. `data` identifies the results and the version of this program.

    Raises StoreError if the folder cannot be written.
    """

    def __init__(self, folder: Path, data: str, pools: Mapping[str, PoolSpec]) -> None:
        self.pools = pools
        self._folder = folder / "trials"
        self._data = data
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
        for leftover in (
            *folder.glob(f"{TEMPORARY}*"),
            *self._folder.glob(".*.json.*"),
            *self._folder.glob("*.new"),
        ):  # of a run that was killed
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()

    def _file(self, trial: Trial) -> Path:
        pool = self.pools[trial.pool]
        determines = [self._data, asdict(trial), sorted(pool.members), pool.min_coverage]
        return self._folder / f"{hashlib.sha256(json.dumps(determines).encode()).hexdigest()[:32]}.json"

    def read(self, trial: Trial) -> Outcome | None:
        """The stored outcome of a trial; None if there is none or its file is damaged, so that the trial runs again."""
        file = self._file(trial)
        if not file.exists():
            return None
        try:
            with open_regular(file) as content:
                stored = json.loads(content.read())
            return Outcome(trial, dict(stored["report"]), dict(stored["gains"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def write(self, outcome: Outcome) -> None:
        """Store an outcome atomically."""
        write_whole(self._file(outcome.trial), json.dumps(asdict(outcome)).encode())
