"""Worker processes as users start them: what they import, what they serve, and what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import installation
import pytest
from installation import CONSOLE, Site, wait_for

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import workers

ENTRY_POINTS = "[benchcoe_jobs.engines]\nplanted = planted:Engine\n"


@pytest.fixture
def dialect() -> str:
    return "sqlite"


@pytest.fixture
def site(store_url: str, tmp_path: Path, fresh_broker: Callable[[], str]) -> Iterator[Site]:
    with installation.opened(Site(tmp_path, store_url, fresh_broker())) as made:
        yield made


def start(site: Site, *words: str | Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    with (site.folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            words,
            env=site.environment(),
            cwd=cwd or site.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=installation.at_a_terminal,
        )


def output_of(site: Site) -> str:
    return (site.folder / "worker.log").read_text()


def planted_modules(folder: Path, marker: Path) -> Path:
    """A folder with a module of every name that a worker could import; each notes its import in a file."""
    folder.mkdir()
    optional = {"django", "gevent", "eventlet", "librabbitmq", "sitecustomize", "usercustomize", "planted"}
    for name in {*sys.stdlib_module_names, *packages_distributions(), *optional}:
        (folder / f"{name}.py").write_text(f"with open({str(marker)!r}, 'a') as file: file.write({name!r} + ' ')\n")
    info = folder / "planted-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def test_a_worker_imports_nothing_from_its_working_folder_and_a_closing_terminal_ends_it(
    site: Site, tmp_path: Path
) -> None:
    marker = tmp_path / "imported"
    folder = planted_modules(tmp_path / "work", marker)
    worker = start(site, CONSOLE, "worker", cwd=folder)
    wait_for(site.listed_workers, "the worker is registered")
    wait_for(lambda: " ready." in output_of(site), "the worker is ready")
    worker.send_signal(signal.SIGHUP)
    assert worker.wait(installation.PATIENCE_S) == 0, output_of(site)
    assert site.listed_workers() == []
    assert not marker.exists(), marker.read_text()
    assert "Restarting" not in output_of(site)


def test_workers_end_with_their_supervisor(site: Site) -> None:
    supervisor = start(site, CONSOLE, "worker", "--gpus", "0,1")
    wait_for(lambda: len(site.listed_workers()) == 2, "both workers are registered")
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    assert len(children) == 2
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not site.listed_workers(), "both workers have ended their work")
    wait_for(lambda: not any(_runs(int(pid)) for pid in children), "and have exited")


def test_celerys_own_command_serves_all_queues(site: Site) -> None:
    celery = Path(sys.executable).with_name("celery")
    command = [celery] if celery.exists() else [sys.executable, "-m", "celery"]
    worker = start(site, *command, "-A", "benchcoe_jobs.workers.app", "worker")
    wait_for(site.listed_workers, "the worker is registered")
    with site.store.reading() as connection:
        [row] = workers.workers(connection)
    worker.terminate()
    assert worker.wait(installation.PATIENCE_S) == 0, output_of(site)
    assert all(row.serves(queue) for queue in Queue)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
