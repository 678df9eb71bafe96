"""A temporary store with the queries of a benchmark assigned to splits in another way.

The services behind the command line train and evaluate on it unchanged, and the user's store keeps its splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from benchcoe_jobs.domain import Query, Split, assign_split
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses, score_table
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.results.score_table import ScoredQuery
from benchcoe_jobs.store.routing.tables import Embedding
from benchcoe_jobs.store.session import Store, connect
from benchcoe_jobs.store.urls import sqlite_url


@dataclass(frozen=True)
class Results:
    """The queries of a benchmark in the order of their import, and the scores of some experts on them."""

    benchmark: str
    queries: list[Query]
    scores: dict[str, list[ScoredQuery]]
    experts: list[ExpertRow]

    def fingerprint(self) -> str:
        """SHA-256 (hex) of queries, experts and scores."""
        digest = hashlib.sha256(self.benchmark.encode())
        for query in self.queries:
            digest.update(
                f"{query.key}\t{query.subject}\t{query.source}\t{query.split}\t{query.content_hash}\n".encode()
            )
        for expert in self.experts:
            digest.update(f"{expert.name}\t{expert.cost}\n".encode())
            values = [(scored.position, scored.score) for scored in self.scores[expert.name]]
            digest.update(np.array(sorted(values), dtype=np.float64).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """The experts of a pool, and the share of a stratum's queries that an expert needs scores for."""

    members: tuple[str, ...]
    min_coverage: float = 0.95


def read_results(connection: Connection, benchmark: str, names: Sequence[str]) -> Results:
    """The scores of some experts on a benchmark. Raises UsageError for an unknown name."""
    benchmark_id, benchmark = catalog.find_benchmark(connection, benchmark)
    rows = [experts.read_expert(connection, name) for name in names]
    queries = score_table.queries(connection, benchmark_id)
    position = {query_id: row for row, (query_id, _) in enumerate(queries)}
    scores = {
        expert.name: score_table.expert_scores(connection, benchmark_id, expert_id, position)
        for expert_id, expert in rows
    }
    return Results(benchmark, [query for _, query in queries], scores, [expert for _, expert in rows])


def resplit_of(query: Query, seed: int) -> Split:
    """The split of a query under a seed; seed 0 keeps the stored one. Copies of a question have the same split."""
    if seed == 0 and query.split is not None:
        return query.split
    return assign_split(hashlib.sha256(f"{seed}:{query.split_hash}".encode()).hexdigest())


def write_resplit(
    path: Path, parts: Mapping[str, tuple[Results, Mapping[int, Split]]], pools: Mapping[str, PoolSpec]
) -> Store:
    """Create a store with parts of results. `parts` maps the name of a benchmark to results and the split of each
    position in them that is included.
    """
    store = connect(sqlite_url(path))
    upgrade(store)
    with store.writing() as connection:
        for results, _ in parts.values():
            for expert in results.experts:
                experts.add_expert(connection, replace(expert, engine="recorded"))
        for name, (results, split_of) in parts.items():
            _write_part(connection, name, results, split_of)
        for name, pool in pools.items():
            experts.change_pool(connection, name, add=pool.members)
            experts.set_min_coverage(connection, experts.find_pool(connection, name), pool.min_coverage)
    return store


def _write_part(connection: Connection, name: str, results: Results, split_of: Mapping[int, Split]) -> None:
    benchmark_id = catalog.ensure_benchmark(connection, name)
    queries = [replace(results.queries[row], split=split) for row, split in split_of.items()]
    stored = catalog.add_queries(connection, benchmark_id, queries)
    stored_at = {row: stored[query.key] for row, query in zip(split_of, queries, strict=True)}
    changed = set()
    for expert in results.experts:
        expert_id = experts.find_expert(connection, expert.name)
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"resplit_of": results.benchmark})
        new = [
            NewScore(
                stored_at[scored.position].id,
                stored_at[scored.position].stratum_id,
                scored.score,
                prompt_tokens=scored.prompt_tokens,
                completion_tokens=scored.completion_tokens,
                cost=scored.cost,
            )
            for scored in results.scores[expert.name]
            if scored.position in stored_at
        ]
        responses.write_scores(connection, expert_id, run_id, new)
        changed |= {(expert_id, score.stratum_id) for score in new}
    aggregates.refresh(connection, [benchmark_id], changed)


def share_vectors(source: Store, target: Store) -> None:
    """Copy the embeddings that `target` lacks, so that no text is encoded twice."""
    with source.reading() as reading, target.writing() as writing:
        known = {tuple(row) for row in writing.execute(select(Embedding.encoder, Embedding.text_hash))}
        rows = reading.execute(select(Embedding.encoder, Embedding.text_hash, Embedding.vector))
        new = ((encoder, text, vector) for encoder, text, vector in rows if (encoder, text) not in known)
        bulk.insert(writing, Embedding, ["encoder", "text_hash", "vector"], new)
