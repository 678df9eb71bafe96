"""Divide the questions of a benchmark without subjects into clusters of their texts, and undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import ALL_POOL, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.job_kind import Needs
from benchcoe_jobs.routers.base import TrainingContext
from benchcoe_jobs.services.removal.open_jobs import require_no_job
from benchcoe_jobs.services.score_matrix import fill
from benchcoe_jobs.services.subjects.choice import MIN_QUESTIONS, Choice, candidates, choose
from benchcoe_jobs.services.subjects.clusters import Clusters, learn_centres, learn_vectors, nearest, telling_names
from benchcoe_jobs.store.removal.imports import remove_unused_clusters
from benchcoe_jobs.store.results import aggregates, catalog, clusters, experts, repairs, score_table
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.results.clusters import SubjectSize
from benchcoe_jobs.store.routing.routers import StoredVectors
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted


@dataclass(frozen=True, slots=True)
class Clustered:
    """What was divided: the subject that had the questions, the clusters with their queries by split, and what is left.

    `left` queries have no text and stay in `origin`. `choice` is None if the number of clusters was given.
    """

    benchmark: str
    origin: str
    encoder: str | None
    clusters: list[dict[str, Any]]
    left: int
    choice: Choice | None

    def as_json(self) -> dict[str, Any]:
        """The clusters as one JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Undone:
    """The clusters whose `n_queries` questions are back in `origin`. `kept` clusters stay: label sets name them."""

    benchmark: str
    origin: str
    n_queries: int
    clusters: list[str]
    kept: list[str]

    def as_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        return asdict(self)


def cluster(store: Store, benchmark: str, k: int | None, *, encoder: str | None, revision: str | None) -> Clustered:
    """Divide the questions of a benchmark with one subject into `k` clusters; with None the number is chosen.

    Clusters are learned from the texts of the training split, by a sentence encoder or, without one, by tf-idf;
    questions of the other splits go to the nearest of them. Prompts and worked examples stay those of the one subject.
    Raises UsageError if the benchmark has more subjects, too few questions or, to choose a number, too few scores.
    """
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, benchmark)
        origin = _only_subject(connection, benchmark_id, benchmark)
        questions = {split: catalog.questions(connection, benchmark_id, split.value) for split in Split}
        train = questions[Split.TRAIN]
        _require_enough(benchmark, len(train), k)
        scores = None if k is not None else _scores(connection, benchmark_id, benchmark, train)
    context = TrainingContext(encoder, revision, cache=StoredVectors(store))
    fitted, choice = _fit(train, context, k, scores, origin.name)
    placed = [question for split in Split for question in questions[split]]
    names = fitted.assign([question.router_input for question in placed])
    with store.writing() as connection:
        catalog.lock_benchmark(connection, benchmark)
        require_no_job(connection, Needs(benchmarks=frozenset({benchmark})))
        if _only_subject(connection, benchmark_id, benchmark).id != origin.id:
            raise UsageError(f"the subjects of {benchmark} were changed meanwhile: run the command again")
        clusters.add(connection, benchmark_id, origin.id, fitted.names)
        cluster_of = {question.id: name for question, name in zip(placed, names, strict=True)}
        changed = repairs.move_queries(connection, clusters.moves(connection, benchmark_id, cluster_of))
        aggregates.refresh(connection, [benchmark_id], changed)
        sizes = clusters.sizes(connection, benchmark_id)
    rows = [{"subject": size.name, **size.n_queries} for size in sizes if size.origin_id is not None]
    left = sum(sum(size.n_queries.values()) for size in sizes if size.origin_id is None)
    return Clustered(benchmark, origin.name, encoder, rows, left, choice)


def undo(store: Store, benchmark: str) -> Undone:
    """Put the questions of clusters back into the subject that they are from. Raises UsageError if there are none."""
    with store.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, benchmark)
        catalog.lock_benchmark(connection, benchmark)
        require_no_job(connection, Needs(benchmarks=frozenset({benchmark})))
        made = [size for size in clusters.sizes(connection, benchmark_id) if size.origin_id is not None]
        if not made:
            raise UsageError(f"nothing to undo: `add-subjects` made no subject of {benchmark}")
        back = clusters.moves_back(connection, benchmark_id)
        aggregates.refresh(connection, [benchmark_id], repairs.move_queries(connection, back))
        kept = remove_unused_clusters(connection, benchmark_id)
        known = {id_: name for name, id_ in catalog.subject_ids(connection, benchmark_id).items()}
    names = [size.name for size in made]
    return Undone(benchmark, known[made[0].origin_id or 0], len(back), names, kept)


def _fit(
    train: Sequence[Question], context: TrainingContext, k: int | None, scores: Floats | None, origin: str
) -> tuple[Clusters, Choice | None]:
    inputs = [question.router_input for question in train]
    learned = learn_vectors(inputs, context)
    vectors = learned(inputs)
    centres_of = {number: learn_centres(vectors, number) for number in (candidates(len(train)) if k is None else [k])}
    codes_of = {number: nearest(vectors, centres) for number, centres in centres_of.items()}
    choice = None if scores is None else choose(codes_of, scores)
    number = next(iter(codes_of)) if choice is None else choice.k
    names = telling_names(inputs, codes_of[number], number, taken=[origin])
    return Clusters(learned, centres_of[number], names), choice


def _only_subject(connection: Connection, benchmark_id: int, benchmark: str) -> SubjectSize:
    found = clusters.sizes(connection, benchmark_id)
    if any(size.origin_id is not None for size in found):
        raise UsageError(
            f"the questions of {benchmark} are divided into clusters already: "
            f"`benchcoe-jobs add-subjects {benchmark} --undo` goes first"
        )
    if len(found) != 1:
        what = f"{benchmark} has {counted(len(found), 'subject')}"
        raise UsageError(f"{what}: only the questions of a benchmark with one subject are divided into clusters")
    return found[0]


def _require_enough(benchmark: str, n_train: int, k: int | None) -> None:
    if k is None and not candidates(n_train):
        raise UsageError(
            f"{benchmark} has {counted(n_train, 'question')} with a text in split train, and the choice of a number "
            f"needs {2 * MIN_QUESTIONS}: give one, as in --cluster 2"
        )
    if k is not None and 2 * k > n_train:
        what = f"{counted(n_train, 'question')} with a text in split train"
        raise UsageError(f"{benchmark} has {what}: too few for {k} clusters, which need two each")


def _scores(connection: Connection, benchmark_id: int, benchmark: str, train: Sequence[Question]) -> Floats:
    """The scores (n, experts) on the training questions of the experts that cover them as pool `all` asks."""
    pool = experts.find_pool(connection, ALL_POOL)
    members = list(experts.pool_members(connection, pool.id).values())
    rows = score_table.scores(connection, benchmark_id, members, Split.TRAIN.value)
    scores = fill(rows, [question.id for question in train], members)
    scores = scores[:, (~np.isnan(scores)).mean(axis=0) >= pool.min_coverage]
    if scores.shape[1] < 2:
        raise UsageError(
            f"the number of clusters is chosen by the scores of two or more experts on {benchmark}, split train, and "
            f"the store has those of {scores.shape[1]}: give a number, as in --cluster 8"
        )
    if np.isnan(scores).any(axis=1).mean() > 0.5:
        raise UsageError(f"no question of {benchmark}, split train, has the scores of most experts: give a number")
    return scores
