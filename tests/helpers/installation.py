"""An installation as users run it: a store, a broker and worker processes; and checks of its final state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny_quiz
from local_servers import start_postgres
from sqlalchemy import create_engine, func, make_url, select, text

from benchcoe_jobs.dispatch.base import Dispatcher, dispatcher
from benchcoe_jobs.job_queue.lifecycle import family, submit
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs, workers
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store, connect
from benchcoe_jobs.store.tables import Extraction, Query, Response, Run, Score
from benchcoe_jobs.store.views import query_label, subject_label

CONSOLE = Path(sys.executable).with_name("benchcoe-jobs")
PATIENCE_S = 300.0
"""Long enough for a busy machine; most waits take a second or two."""


class Postgres:
    """A PostgreSQL server that can be crashed and restarted."""

    def __init__(self, folder: Path) -> None:
        self._server = start_postgres(folder)
        self.url = self._server.get_uri()

    def fresh(self, name: str) -> str:
        """The URL of a new, migrated database."""
        admin = create_engine(make_url(self.url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        url = make_url(self.url).set(database=name).render_as_string(hide_password=False)
        migrate(url)
        return url

    def crash(self) -> None:
        """Shut down immediately: without a checkpoint, with all connections cut."""
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGQUIT)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the server has exited")

    def restart(self) -> None:
        """Recover from the write-ahead log."""
        wait_for(self._is_back, "the server has restarted")

    def stop(self) -> None:
        """Stop it."""
        self._server.cleanup()

    def _is_back(self) -> bool:
        with suppress(subprocess.TimeoutExpired, AssertionError):  # after ten seconds, too few for a busy disk
            self._server.ensure_postgres_running()
            return True
        return False


def at_a_terminal() -> None:
    """What a process does before it becomes a command: SIGHUP ends it, even if the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Worker:
    """`benchcoe-jobs worker` in a session of its own, its log in a file."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path, *options: str) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [CONSOLE, "worker", "--name", name, *options],
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=at_a_terminal,
            )

    @property
    def children(self) -> list[int]:
        """The processes that run shards: one, or none while it is restarted."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):
            return [int(pid) for pid in path.read_text().split()]
        return []

    def descendant(self, name: str) -> int | None:
        """The descendant process with a name, of which the kernel keeps 15 bytes."""
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with suppress(OSError):  # it has ended
                if Path(f"/proc/{pid}/comm").read_text().strip() == name[:15]:
                    return pid
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return None

    def has_open(self, path: Path) -> bool:
        """Whether the parent has a file open."""
        with suppress(OSError):  # one has just been closed
            return any(fd.readlink() == path for fd in Path(f"/proc/{self.process.pid}/fd").iterdir())
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent process."""
        self.process.send_signal(number)

    def signal_child(self, number: signal.Signals) -> None:
        """Send a signal to the process that runs shards."""
        [child, *_] = wait_for(lambda: self.children, "the worker has a child")
        with suppress(ProcessLookupError):
            os.kill(child, number)

    def end(self) -> None:
        """Kill the worker and its children."""
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@dataclass
class Site:
    """An installation: its store, its broker, and its workers."""

    folder: Path
    url: str
    broker_url: str | None = None
    lease_s: float = 60.0
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = connect(self.url)
        self.settings = Settings(self.url, self.broker_url, self.folder / "home", self.lease_s)

    @property
    def runner(self) -> Dispatcher:
        """The dispatcher that a command would use."""
        return dispatcher(self.store, self.settings)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a user's shell."""
        mine = {
            "BENCHCOE_DATABASE_URL": self.url,
            "BENCHCOE_HOME": str(self.settings.home),
            "BENCHCOE_LEASE_S": str(self.lease_s),
        }
        return os.environ | mine | ({"BENCHCOE_BROKER_URL": self.broker_url} if self.broker_url else {}) | more

    def start_worker(self, name: str = "worker", *options: str, **environment: str) -> Worker:
        """Start a worker, which is ready some seconds later."""
        worker = Worker(name, self.environment(**environment), self.folder / f"{name}.log", *options)
        self.workers.append(worker)
        return worker

    def add_expert(self, name: str, model: str = "one", engine: str = "fake") -> None:
        """An expert of the fake engine, or of another one."""
        with self.store.writing() as connection:
            experts.add_expert(connection, ExpertRow(name, engine, model))

    def submit(self, kind: str, request: Mapping[str, Any]) -> int:
        """Submit a job and announce it, as a command does."""
        with self.store.writing() as connection:
            job_id, _ = submit(connection, kind, request)
        self.runner.announce()
        return job_id

    def profile(self, expert: str, benchmark: str = "fake") -> int:
        """Submit a job that profiles an expert on a benchmark."""
        return self.submit("profile", profile_request(expert, [benchmark]))

    def follow(self, job_id: int) -> JobRow:
        """Follow a job to its end with the dispatcher."""
        return self.runner.follow(job_id, lambda step: None)

    def wait(self, job_id: int) -> JobRow:
        """Wait for the end of a job without running its shards."""
        wait_for(lambda: not family(self.store, job_id)[2], f"job {job_id} is over", look_s=0.1)
        return family(self.store, job_id)[0]

    def n_processed(self, job_id: int) -> int:
        """The number of processed items of a job."""
        with self.store.reading() as connection:
            return sum(
                shard_group.reused + shard_group.answered + shard_group.errors
                for shard_group in jobs.shard_groups(connection, [job_id])
            )

    def wait_until_processed(self, job_id: int, items: int) -> None:
        """Wait until a number of items of a job are processed."""
        wait_for(lambda: self.n_processed(job_id) >= items, f"{items} items of job {job_id}", look_s=0.02)

    def shards(self, job_id: int) -> list[tuple[str, int]]:
        """(state, attempts) of a job's shards."""
        with self.store.reading() as connection:
            rows = connection.execute(
                select(Shard.state, Shard.attempts)
                .where(Shard.shard_group_id.in_(shard_groups_of(job_id)))
                .order_by(Shard.id)
            )
            return [(row.state, row.attempts) for row in rows]

    def listed_workers(self) -> list[str]:
        """Names of the registered workers."""
        with self.store.reading() as connection:
            return [worker.name for worker in workers.workers(connection)]

    def close(self) -> None:
        """Stop the workers and close the store."""
        for worker in self.workers:
            worker.end()
        self.store.close()


def shard_groups_of(job_id: int) -> Any:
    """The ids of a job's shard groups, as a subquery."""
    return select(ShardGroup.id).where(ShardGroup.job_id == job_id)


@contextmanager
def opened(site: Site) -> Iterator[Site]:
    """A context that closes the site at its end."""
    try:
        yield site
    finally:
        site.close()


def wait_for(what: Callable[[], Any], name: str, *, look_s: float = 0.05, patience_s: float = PATIENCE_S) -> Any:
    """The first true result of `what`. Raises TimeoutError with `name` after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not (answer := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain: {name}")
        time.sleep(look_s)
    return answer


def migrate(url: str) -> None:
    """Upgrade a store, as `init` does."""
    store = connect(url)
    upgrade(store)
    store.close()


def prepare(
    store: Store, folder: Path, n: int, *, unanswerable: Sequence[int] = (), poison: Sequence[int] = ()
) -> None:
    """The benchmark `fake` with `n` questions."""
    add_benchmark(store, "fake", tiny_quiz.write_quiz(folder / "fake", n, unanswerable=unanswerable, poison=poison))


def responses_of(store: Store, expert: str) -> Counter[tuple[Any, ...]]:
    """(query, text, error, score, extracted) of every response of an expert, with the number of its rows."""
    with store.reading() as connection:
        expert_id = experts.find_expert(connection, expert)
        rows = connection.execute(
            select(Query.key, Response.text, Response.error, Score.value, Extraction.answer)
            .select_from(Response)
            .join(Query, Query.id == Response.query_id)
            .join(Run, Run.id == Response.run_id)
            .outerjoin(Score, (Score.query_id == Query.id) & (Score.expert_id == expert_id))
            .outerjoin(Extraction, (Extraction.query_id == Query.id) & (Extraction.expert_id == expert_id))
            .where(Run.expert_id == expert_id)
        )
        return Counter(tuple(row) for row in rows)


def labels(store: Store) -> list[tuple[Any, ...]]:
    """All labels of both levels, with score counts and ties."""
    s, q = subject_label.c, query_label.c
    with store.reading() as connection:
        subjects = connection.execute(select(s.pool, s.split, s.subject, s.expert, s.tied, s.n)).all()
        queries = connection.execute(select(q.pool, q.split, q.key, q.expert, q.score, q.tied)).all()
    return sorted(tuple(row) for row in [*subjects, *queries])


def open_ends(store: Store) -> dict[str, int]:
    """The numbers of open jobs, and of shards that wait or run."""
    with store.reading() as connection:
        return {
            "jobs": connection.scalar(select(func.count()).where(Job.state == "open")) or 0,
            "shards": connection.scalar(select(func.count()).where(Shard.state.in_(["waiting", "running"]))) or 0,
        }


def require_undisturbed(site: Site, undisturbed: Site, expert: str = "ann") -> None:
    """Check that every query has one response, nothing is open, and labels equal those of an undisturbed run."""
    found = responses_of(site.store, expert)
    assert set(found.values()) == {1}, "a query has two responses"
    assert found == responses_of(undisturbed.store, expert)
    assert labels(site.store) == labels(undisturbed.store)
    assert open_ends(site.store) == {"jobs": 0, "shards": 0}
