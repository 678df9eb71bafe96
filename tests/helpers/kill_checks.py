"""What must hold after a command was killed and given again: everything is as after an undisturbed run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import fake_plugins
import installation
import store_content
from installation import Site, wait_for
from kill_trials import Trial
from kill_victims import is_engine
from kill_worlds import requested, start
from sqlalchemy import text
from worker_logs import unexpected

MICRO_BATCH = 64
"""The most questions that may be asked again after a kill."""


@dataclass(frozen=True)
class Undisturbed:
    """What a trial leaves behind without kills."""

    content: store_content.Content
    files: Mapping[str, Any]
    artifacts: Sequence[str]
    n_requests: int
    open_ends: Mapping[str, int]

    @classmethod
    def of(cls, site: Site, trial: Trial) -> Undisturbed:
        """What a site holds now."""
        content = store_content.content(site.store, attempts=trial.attempts)
        open_ends = installation.open_ends(site.store)
        return cls(content, _files(site, trial), _artifacts(site), len(requested()), open_ends)


def give_again(site: Site, trial: Trial) -> list[str]:
    """Give the command again, which must succeed. Returns faults."""
    command = start(site, *trial.words, *(["--wait"] if trial.by_workers else []), log="again.log")
    try:
        code = command.wait(installation.PATIENCE_S)
    except subprocess.TimeoutExpired:
        command.kill()
        return ["the command given again does not end"]
    output = (site.folder / "again.log").read_text()
    return [] if code in trial.finished else [f"the command given again ended with {code}: {output[-300:]}"]


def faults_of(site: Site, trial: Trial, expected: Undisturbed, n_kills: int) -> list[str]:
    """What differs from the undisturbed run, and what is left behind."""
    found = Undisturbed.of(site, trial)
    faults = store_content.differences(found.content, expected.content)
    if found.open_ends != expected.open_ends:
        faults.append(f"open: {found.open_ends} instead of {expected.open_ends}")
    faults += [f"{name} differs" for name in trial.files if found.files[name] != expected.files[name]]
    if found.artifacts != expected.artifacts:
        faults.append(f"artifacts {found.artifacts} instead of {expected.artifacts}")
    if (more := found.n_requests - expected.n_requests - n_kills * MICRO_BATCH) > 0:
        faults.append(f"{more} questions were asked again that were not under way")
    if site.url.startswith("sqlite"):
        with site.store.reading() as connection:
            said = connection.scalar(text("PRAGMA integrity_check"))
        faults += [] if said == "ok" else [f"integrity_check: {said}"]
    for log in sorted(site.folder.glob("*.log")):
        faults += [f"{log.name}: {line}" for line in unexpected(log.read_text())]
    if trial.after and (code := start(site, *trial.after).wait()):
        faults.append(f"{trial.after[0]} ended with {code}")
    if not trial.by_workers:
        with suppress(TimeoutError):
            wait_for(lambda: not any(map(is_engine, fake_plugins.engine_pids())), "engines end", patience_s=10)
        faults += ["an engine server is left"] if any(map(is_engine, fake_plugins.engine_pids())) else []
    return faults


def _files(site: Site, trial: Trial) -> dict[str, Any]:
    """The JSON of the files that a trial writes, without what differs from run to run."""
    found = {}
    for name in trial.files:
        path = site.folder / name
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        found[name] = [_steady(json.loads(each)) for each in texts]
    return found


def _artifacts(site: Site) -> list[str]:
    """The files in the home folder, except locks and the broker's."""
    home = site.settings.home
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def _steady(value: Any) -> Any:
    """A JSON value without times and ids of jobs."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in ("id", "created") and "second" not in key}
        return {key: _steady(each) for key, each in kept.items()}
    return [_steady(each) for each in value] if isinstance(value, list) else value
