"""A temporary store with the queries of a benchmark assigned to splits in another way.

The services behind the command line train and evaluate on it unchanged, and the user's store keeps its splits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from benchcoe_jobs.domain import Query, Split, assign_split
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.results import aggregates, catalog, experts, pictures, responses, score_table
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.results.score_table import ScoredQuery
from benchcoe_jobs.store.routing.tables import Embedding
from benchcoe_jobs.store.session import Store, connect
from benchcoe_jobs.store.urls import sqlite_url

_WITH_PICTURES_AT_ONCE = 64


@dataclass(frozen=True)
class Results:
    """The queries of a benchmark in the order of their import, and the scores of some experts on them.

    The queries are without their pictures: `pictures` has the hashes of those of each query.
    """

    benchmark: str
    queries: list[Query]
    pictures: list[tuple[str, ...]]
    scores: dict[str, list[ScoredQuery]]
    experts: list[ExpertRow]

    def fingerprint(self) -> str:
        """SHA-256 (hex) of queries, experts and scores."""
        digest = hashlib.sha256(self.benchmark.encode())
        for query, hashes in zip(self.queries, self.pictures, strict=True):
            content = "\t".join([query.content_hash, *hashes])
            digest.update(f"{query.key}\t{query.subject}\t{query.source}\t{query.split}\t{content}\n".encode())
        for expert in self.experts:
            digest.update(f"{expert.name}\t{expert.cost}\n".encode())
            values = [(scored.position, scored.score) for scored in self.scores[expert.name]]
            digest.update(np.array(sorted(values), dtype=np.float64).tobytes())
            for scored in sorted(self.scores[expert.name], key=lambda one: one.position):
                if scored.rule is not None or scored.text is not None:
                    seen = [scored.extracted, scored.rule, scored.text, scored.finish_reason]
                    digest.update(json.dumps(seen).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """The experts of a pool, and the share of a stratum's queries that an expert needs scores for."""

    members: tuple[str, ...]
    min_coverage: float = 0.95


def read_results(
    connection: Connection, benchmark: str, names: Sequence[str], *, with_responses: bool = False
) -> Results:
    """The scores of some experts on a benchmark, with the responses if a router learns from them.

    Raises UsageError for an unknown name.
    """
    benchmark_id, benchmark = catalog.find_benchmark(connection, benchmark)
    rows = [experts.read_expert(connection, name) for name in names]
    queries = score_table.queries(connection, benchmark_id)
    position = {query_id: row for row, (query_id, _) in enumerate(queries)}
    scores = {
        expert.name: score_table.expert_scores(
            connection, benchmark_id, expert_id, position, with_responses=with_responses
        )
        for expert_id, expert in rows
    }
    hashes = pictures.hashes_of_benchmark(connection, benchmark_id)
    return Results(
        benchmark,
        [query for _, query in queries],
        [hashes.get(query_id, ()) for query_id, _ in queries],
        scores,
        [expert for _, expert in rows],
    )


def resplit_of(query: Query, hashes: Sequence[str], seed: int) -> Split:
    """The split of a query with pictures of these hashes under a seed; seed 0 keeps the stored one.

    Copies of a question have the same split. The same question about another picture is no copy.
    """
    if seed == 0 and query.split is not None:
        return query.split
    content = "".join([query.content_hash, *hashes]) if hashes else query.split_hash
    return assign_split(hashlib.sha256(f"{seed}:{content}".encode()).hexdigest())


def write_resplit(
    source: Store,
    path: Path,
    parts: Mapping[str, tuple[Results, Mapping[int, Split]]],
    pools: Mapping[str, PoolSpec],
) -> Store:
    """Create a store with parts of results. `parts` maps the name of a benchmark to results and the split of each
    position in them that is included. Pictures are copied from `source`.
    """
    store = connect(sqlite_url(path))
    upgrade(store)
    with store.writing() as connection:
        for results, _ in parts.values():
            for expert in results.experts:
                experts.add_expert(connection, replace(expert, engine="recorded"))
        for name, (results, split_of) in parts.items():
            _write_part(connection, source, name, results, split_of)
        for name, pool in pools.items():
            experts.change_pool(connection, name, add=pool.members)
            experts.set_min_coverage(connection, experts.find_pool(connection, name), pool.min_coverage)
    return store


def _write_part(
    connection: Connection, source: Store, name: str, results: Results, split_of: Mapping[int, Split]
) -> None:
    benchmark_id = catalog.ensure_benchmark(connection, name)
    stored_at: dict[int, StoredQuery] = {}
    for rows in _parts(results, list(split_of)):
        with source.reading() as reading:
            files = pictures.contents(reading, {digest for row in rows for digest in results.pictures[row]})
        queries = [
            replace(
                results.queries[row],
                split=split_of[row],
                images=tuple(files[digest] for digest in results.pictures[row]),
            )
            for row in rows
        ]
        stored = catalog.add_queries(connection, benchmark_id, queries)
        stored_at |= {row: stored[query.key] for row, query in zip(rows, queries, strict=True)}
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
                text=scored.text,
                finish_reason=scored.finish_reason,
                extracted=scored.extracted,
                rule=scored.rule,
            )
            for scored in results.scores[expert.name]
            if scored.position in stored_at
        ]
        responses.write_scores(connection, expert_id, run_id, new)
        changed |= {(expert_id, score.stratum_id) for score in new}
    aggregates.refresh(connection, [benchmark_id], changed)


def _parts(results: Results, rows: list[int]) -> Iterable[list[int]]:
    """The rows at once, or so few together that their pictures fit into memory."""
    size = _WITH_PICTURES_AT_ONCE if any(results.pictures) else max(1, len(rows))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def share_vectors(source: Store, target: Store) -> None:
    """Copy the embeddings that `target` lacks, so that no text is encoded twice."""
    with source.reading() as reading, target.writing() as writing:
        known = {tuple(row) for row in writing.execute(select(Embedding.encoder, Embedding.content_hash))}
        rows = reading.execute(select(Embedding.encoder, Embedding.content_hash, Embedding.vector))
        new = ((encoder, text, vector) for encoder, text, vector in rows if (encoder, text) not in known)
        bulk.insert(writing, Embedding, ["encoder", "content_hash", "vector"], new)
