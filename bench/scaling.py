"""Two CPU workers against one, on the same profile.

    python bench/scaling.py [--questions 2560] [--times 3]

The engine is single-threaded and takes the same work for every answer; the engine server of a worker is a separate
process, as always. PostgreSQL, Valkey and the workers share the machine. The benchmark has the form of MMLU-Pro. Every
run adds an expert, so that labels are updated among more and more experts. The rate is that of stored answers between a
tenth and nine tenths of the run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

from dispatch import rate
from harness import markdown
from servers import HERE, Site, postgres_store, site, until, url_of

from benchcoe_jobs.dispatch.celery import TicketApp, top_up
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.services.inference.expert_settings import new_expert
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

TESTS = HERE.parent / "tests" / "helpers"
sys.path.append(str(TESTS))

from tiny_quiz import write_quiz  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2560)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with site(
        "benchcoe_jobs.benchmarks: quiz = tiny_quiz:Quiz", "benchcoe_jobs.engines: spin = plugins:SpinEngine"
    ) as made:
        store = postgres_store(made, "scaling")
        add_benchmark(store, "quiz", write_quiz(made.folder / "quiz", options.questions))
        rounds = []
        for number in range(options.times):
            one, two = (profile(made, store, n, f"{number}-by-{n}", options.questions) for n in (1, 2))
            rounds.append((one, two, os.getloadavg()[0]))
        store.close()
    rows = [[f"{one:.0f}", f"{two:.0f}", f"{two / one:.2f}", f"{load:.1f}"] for one, two, load in rounds]
    rows.append(["", "median", f"{statistics.median(two / one for one, two, _ in rounds):.2f}", ""])
    markdown(["answers a second, 1 worker", "2 workers", "ratio", "load of the machine"], rows)


def profile(made: Site, store: Store, n_workers: int, expert: str, questions: int) -> float:
    with store.writing() as connection:
        experts.add_expert(connection, new_expert(expert, "spin", "none", None, {}, {}))
        job_id, _ = submit(connection, "profile", profile_request(expert, ["quiz"]))
    top_up(TicketApp(Settings(broker_url=made.broker_url)), store)

    def answered() -> int:
        with store.reading() as connection:
            return sum(shard_group.answered for shard_group in jobs.shard_groups(connection, [job_id]))

    path = f"{made.environment['PYTHONPATH']}:{TESTS}"
    with made.workers(url_of(store), n_workers, queues="gpu,cpu", PYTHONPATH=path):
        found = rate(answered, questions)
        until(lambda: answered() == questions)
    return found


if __name__ == "__main__":
    main()
