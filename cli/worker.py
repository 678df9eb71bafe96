"""The command worker: run Celery workers."""

from __future__ import annotations

import os
import socket
import sys

import click

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.errors import MissingError, UsageError

from .command import Command, Session
from .supervisor import WorkerProcess, supervise

_LOG_LEVELS = click.Choice(["debug", "info", "warning", "error"])


def _queues(_ctx: click.Context, _param: click.Parameter, given: str) -> list[str]:
    known = [queue.value for queue in Queue]
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names or set(names) - set(known):
        raise UsageError(f"--queues {given!r}: give one or more of {', '.join(known)}, separated by commas")
    return list(dict.fromkeys(names))


def _gpus(_ctx: click.Context, _param: click.Parameter, given: str | None) -> list[str]:
    groups = [] if given is None else [group.strip() for group in given.split(",")]
    single = [gpu for group in groups for gpu in group.split("+")]
    if given is not None and (not all(gpu.isdigit() for gpu in single) or len(set(single)) < len(single)):
        raise UsageError(f"--gpus {given!r}: give numbers separated by commas, each once; 2+3 is one worker with both")
    return [group.replace("+", ",") for group in groups]


@click.command(cls=Command)
@click.option(
    "--queues",
    default=",".join(queue.value for queue in Queue),
    show_default=True,
    callback=_queues,
    help="Queues to serve: gpu runs experts, train trains routers, cpu has the other shards.",
)
@click.option(
    "--gpus", metavar="0,1,2+3", callback=_gpus, help="Start one worker per GPU; 2+3 is one worker with both."
)
@click.option(
    "--name", default="worker", show_default=True, help="Name of the worker, to which the host's name is added."
)
@click.option("--log-level", type=_LOG_LEVELS, default="info", show_default=True, help="Level of the log.")
def worker(session: Session, queues: list[str], gpus: list[str], name: str, log_level: str) -> None:
    """Run workers, which execute the shards of jobs.

    Needs BENCHCOE_BROKER_URL and a store created by init. --gpus starts one worker process per entry;
    without it, one process uses all GPUs of the machine. An expert that needs two GPUs (--tensor-parallel 2)
    runs on a worker that has two. After the first SIGTERM or Ctrl-C, or if its terminal closes, a worker
    finishes the current micro-batch and returns the rest of its shard to the queue; the second signal stops
    it immediately. Workers of one command end with it.
    """
    from benchcoe_jobs.dispatch.broker import broker_url

    if session.settings.broker_url is None:
        raise MissingError(
            "no broker is configured: set BENCHCOE_BROKER_URL; `benchcoe-jobs broker` runs one on this machine"
        )
    broker_url(session.settings)
    _ = session.store  # raises StoreError if it is missing or of another version
    environment = os.environ | {
        "BENCHCOE_DATABASE_URL": session.settings.database_url,
        "BENCHCOE_BROKER_URL": session.settings.broker_url,
        "BENCHCOE_HOME": str(session.settings.home),
        "BENCHCOE_LEASE_S": str(session.settings.lease_s),
        "BENCHCOE_OPEN_BROKER": "yes" if session.settings.open_broker else "no",
        # As -P, but also for the processes that a worker and the libraries in it start.
        "PYTHONSAFEPATH": "1",
    }
    commands = {
        f"{name}-gpu{group.replace(',', '-')}" if group else name: {"CUDA_VISIBLE_DEVICES": group} if group else {}
        for group in gpus or [""]
    }
    options = ["--queues", ",".join(queues), "--log-level", log_level]
    if len(commands) == 1:
        [(title, extra)] = commands.items()
        session.close()
        os.execve(sys.executable, _worker(title, *options), environment | extra)  # noqa: S606
    options += ["--supervisor", str(os.getpid())]
    processes = [WorkerProcess(_worker(title, *options), environment | extra) for title, extra in commands.items()]
    supervise(processes, session.note)


def _worker(title: str, *options: str) -> list[str]:
    # -P keeps the working folder, and the modules in it, off the path of the process.
    command = [sys.executable, "-P", "-m", "benchcoe_jobs.workers"]
    return [*command, "--name", f"{title}-{os.getpid()}@{socket.gethostname()}", *options]
