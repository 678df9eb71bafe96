"""The Celery application of the workers: `celery -A benchcoe_jobs.workers.app worker -Q gpu,train,cpu`.

`benchcoe-jobs worker` starts it with suitable options. Settings come from the environment or benchcoe.toml.
"""

from __future__ import annotations

from benchcoe_jobs.dispatch.celery import TICKET, make_app
from benchcoe_jobs.settings import Settings

from . import process
from .sweeper import Sweeper

settings = Settings.load()
app = make_app(settings)
app.steps["worker"].add(Sweeper)
process.connect_signals()


@app.task(name=TICKET)  # type: ignore[untyped-decorator]  # Celery has no types
def ticket(queue: str) -> None:
    """Run shards of a queue, if any wait."""
    process.work(app, settings, queue)
