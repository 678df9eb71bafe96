"""A store in which a newcomer that is right on a tenth of the questions meets rivals with stored scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import installation
import numpy as np
from installation import Site

from benchcoe_jobs.services.settling.job import KIND, settling_request
from benchcoe_jobs.services.settling.rounds import Rule
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses, score_table
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store

N = 600
RULE = Rule(0.999, 0.01)
STRONG = {"biology": 0.6, "law": 0.6, "math": 0.0}
"""The share of the questions of each subject that the rival is right on."""


def prepare(site: Site, folder: Path, unanswerable: Sequence[int] = ()) -> None:
    """The benchmark, the rival `old` with scores on all of it, and the newcomer `new` without any."""
    installation.prepare(site.store, folder, N, unanswerable=unanswerable)
    site.add_expert("new", "new")
    add_rival(site.store, "old", STRONG)


def add_rival(store: Store, name: str, share_of: dict[str, float]) -> None:
    """An expert with a score on every question, right on a share of each subject."""
    rng = np.random.default_rng(7)
    with store.writing() as connection:
        experts.add_expert(connection, ExpertRow(name, "recorded"))
        expert_id, (benchmark_id, _) = experts.find_expert(connection, name), catalog.find_benchmark(connection, None)
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"sha256": name})
        scores = [
            NewScore(query.id, query.stratum_id, float(rng.random() < share_of[query.subject]))
            for query in score_table.query_refs(connection, benchmark_id)
        ]
        responses.write_scores(connection, expert_id, run_id, scores)
        aggregates.refresh(connection, [benchmark_id], {(expert_id, score.stratum_id) for score in scores})


def submitted(site: Site, expert: str = "new", **options: bool) -> int:
    """Submit the job; its id."""
    return site.submit(KIND, settling_request(expert, rule=RULE, **options))


def run(site: Site, expert: str = "new", **options: bool) -> JobRow:
    """Run the job to its end."""
    return site.follow(submitted(site, expert, **options))


def n_rounds(site: Site, job_id: int) -> int:
    """How many stages of a job asked something."""
    with site.store.reading() as connection:
        return len({group.stage for group in jobs.shard_groups(connection, [job_id])})
