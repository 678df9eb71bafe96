"""The overhead of the queue: empty shards against empty Celery tasks.

    python bench/dispatch.py [--shards 4000] [--times 3]

The shards are claimed, run and completed in PostgreSQL by one worker that gets tickets through Valkey. The tasks run on
one Celery worker with the same settings (prefork, one process, acks_late, prefetch 1) on the same Valkey. Both queues
are full before the worker starts; the rate is measured between a tenth and nine tenths of the run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import redis
from harness import markdown
from servers import Site, n_shards, postgres_store, site, stop, until, url_of

from benchcoe_jobs.dispatch.celery import TicketApp, top_up
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.session import Store

STALLED_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=4000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with site("benchcoe_jobs.jobs: noop = plugins:NoOp") as made:
        store = postgres_store(made, "dispatch")
        rounds = [(ours(made, store, options.shards, n), plain(made, options.shards)) for n in range(options.times)]
        store.close()
    rows = [[f"{a:.0f}", f"{b:.0f}", f"{a / b:.2f}"] for a, b in rounds]
    rows.append(["", "median", f"{statistics.median(a / b for a, b in rounds):.2f}"])
    markdown(["shards a second", "plain Celery tasks a second", "ratio"], rows)


def ours(made: Site, store: Store, n: int, number: int) -> float:
    app = TicketApp(Settings(broker_url=made.broker_url))
    done_before = n_shards(store, "done")
    with store.writing() as connection:
        submit(connection, "noop", {"shards": n, "round": number})
    top_up(app, store)
    with made.workers(url_of(store)):
        found = rate(lambda: n_shards(store, "done") - done_before, n)
        until(lambda: n_shards(store, "waiting") == 0)
    return found


def plain(made: Site, n: int) -> float:
    os.environ["BENCHCOE_BROKER_URL"] = made.broker_url
    from plain_celery import make_app

    app = make_app(made.broker_url)
    with app.connection_for_write() as connection, app.amqp.producer_pool.acquire(block=True) as producer:
        for _ in range(n):
            app.send_task("plain.nothing", queue="plain", producer=producer, connection=connection)
    words = ["celery", "--app", "plain_celery", "worker", "--queues", "plain", "--concurrency", "1"]
    worker = made.start([*words, "--without-gossip", "--without-mingle", "--loglevel", "warning"], "plain.log")
    broker = redis.Redis(unix_socket_path=made.broker_url.removeprefix("redis+socket://"))
    try:
        return rate(lambda: n - broker.llen("plain"), n)
    finally:
        broker.close()
        stop([worker])


def rate(n_through: Callable[[], int], n: int) -> float:
    """Items per second between a tenth and nine tenths of `n`."""
    seen: list[tuple[float, int]] = []
    before, moved = 0, time.monotonic()
    while not seen or seen[-1][1] < 0.9 * n:
        time.sleep(0.1)
        through = n_through()
        if through > before:
            before, moved = through, time.monotonic()
        elif time.monotonic() > moved + STALLED_S:
            raise RuntimeError(f"no item was completed for {STALLED_S} s: read the logs of the workers")
        if through >= 0.1 * n:
            seen.append((time.monotonic(), through))
    (begin, first), (end, last) = seen[0], seen[-1]
    return (last - first) / (end - begin)


if __name__ == "__main__":
    main()
