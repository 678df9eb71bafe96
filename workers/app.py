"""The Celery application of the workers: `celery -A benchcoe_jobs.workers.app worker` serves all queues.

`benchcoe-jobs worker` starts it with suitable options. Settings come from the environment or benchcoe.toml.
"""

from __future__ import annotations

from benchcoe_jobs.dispatch.celery import TicketApp
from benchcoe_jobs.dispatch.tickets import TICKET
from benchcoe_jobs.settings import Settings

from . import process
from .ending import EndWithSupervisor
from .sweeper import Sweeper

settings = Settings.load()
app = TicketApp(settings)
app.steps["worker"].update([EndWithSupervisor, Sweeper])
process.connect_signals()


@app.task(name=TICKET)  # type: ignore[untyped-decorator]  # Celery has no types
def ticket(queue: str) -> None:
    """Run shards of a queue, if any wait."""
    process.work(app, settings, queue)
