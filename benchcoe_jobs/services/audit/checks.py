"""Checks of stored results. Each finding names a command that repairs it or shows its details."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy import Connection

from benchcoe_jobs.domain import ALL_POOL, Query, Split
from benchcoe_jobs.services.audit.answer_checks import constant_answers, never_right, other_extractions
from benchcoe_jobs.services.audit.findings import Finding, Severity
from benchcoe_jobs.services.audit.order_checks import order_findings, unrelated_of
from benchcoe_jobs.services.audit.same_scores import same_scores
from benchcoe_jobs.services.score_matrix import read_matrix
from benchcoe_jobs.store.results import catalog, experts, file_origins, pictures, repairs, score_table
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted


def audit(store: Store, benchmark: str | None) -> list[Finding]:
    """The findings on one benchmark, or on all of them, most severe first. The store is not changed.

    Findings on retired experts are left out: no label and no evaluation uses their scores.
    """
    with store.reading() as connection:
        names = (
            [str(row["benchmark"]) for row in catalog.benchmarks(connection)]
            if benchmark is None
            else [catalog.find_benchmark(connection, benchmark)[1]]
        )
        active = experts.pool_members(connection, experts.find_pool(connection, ALL_POOL).id)
        found = [finding for name in names for finding in _of_benchmark(connection, name, active)]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _of_benchmark(connection: Connection, benchmark: str, active: Collection[str]) -> Iterator[Finding]:
    benchmark_id, _ = catalog.find_benchmark(connection, benchmark)
    names = experts.expert_ids(connection)
    yield from _duplicates(benchmark, stored_duplicates(connection, benchmark_id))
    matrix = read_matrix(connection, benchmark_id, names)
    matrix = matrix.without(matrix.without_scores())
    if not matrix.experts:
        return
    answers = repairs.extracted_answers(connection, benchmark_id)
    files: dict[int, set[str]] = {}
    for run in file_origins.import_runs(connection, benchmark_id).values():
        files.setdefault(run.expert_id, set()).add(run.sha256)
    of_experts = [
        *order_findings(benchmark, unrelated_of(matrix, names, answers)),
        *same_scores(benchmark, matrix.without(names.keys() - active), names, files),
        *constant_answers(benchmark, matrix, names, answers),
        *other_extractions(benchmark, names, matrix, answers),
    ]
    yield from (finding for finding in of_experts if finding.expert in active)
    yield from never_right(benchmark, matrix, answers)


# --- duplicates ------------------------------------------------------------------------------


def stored_duplicates(connection: Connection, benchmark_id: int) -> list[list[tuple[int, Query]]]:
    """The groups of `duplicates_across_splits` of a benchmark."""
    queries = score_table.queries(connection, benchmark_id)
    return duplicates_across_splits(queries, pictures.hashes_of_benchmark(connection, benchmark_id))


def duplicates_across_splits(
    queries: Sequence[tuple[int, Query]], hashes: Mapping[int, tuple[str, ...]]
) -> list[list[tuple[int, Query]]]:
    """Groups of equal queries (id, query) in more than one split; case, blanks and the order of choices are ignored.

    `hashes` has the hashes of the pictures of a query, by id: the same question about another picture is another
    query. Queries with neither a text nor a picture are left out.
    """
    groups: dict[object, list[tuple[int, Query]]] = {}
    for id_, query in queries:
        if query.text or id_ in hashes:
            content = _normalised(query.text), tuple(sorted(map(_normalised, query.choices))), hashes.get(id_)
            groups.setdefault(content, []).append((id_, query))
    return [group for group in groups.values() if len({query.split for _, query in group}) > 1]


def _normalised(text: str) -> str:
    return " ".join(text.lower().split())


def _duplicates(benchmark: str, groups: Sequence[Sequence[tuple[int, Query]]]) -> Iterator[Finding]:
    if groups:
        tested = [query.key for group in groups for _, query in group if query.split is Split.TEST]
        trained = sum(Split.TRAIN in {query.split for _, query in group} for group in groups)
        yield Finding(
            Severity.ERROR,
            "duplicates",
            benchmark,
            None,
            f"more than one split has copies of {counted(len(groups), 'question')}, {trained} of them in train: "
            "routers are tested on questions that they were trained on",
            f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --repair duplicates",
            tested,
        )
