"""Plain Celery with the settings of a benchcoe-jobs worker, and one empty task."""

from __future__ import annotations

from benchcoe_jobs.dispatch.celery import make_app
from benchcoe_jobs.settings import Settings

app = make_app(Settings.load())


@app.task(name="plain.nothing")
def nothing() -> None:
    pass
