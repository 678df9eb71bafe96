"""Plain Celery with the settings of a benchcoe-jobs worker, and one empty task."""

from __future__ import annotations

import os

from celery import Celery


def make_app(broker_url: str) -> Celery:
    made = Celery("plain", broker=broker_url, set_as_current=False)
    made.conf.update(
        task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1, worker_enable_remote_control=False
    )
    return made


app = make_app(os.environ["BENCHCOE_BROKER_URL"])


@app.task(name="plain.nothing")
def nothing() -> None:
    pass
