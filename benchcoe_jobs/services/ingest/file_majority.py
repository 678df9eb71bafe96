"""Compare the files that have different contents for a query: the first file decides what is stored, right or wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection

from benchcoe_jobs.store.results import file_origins
from benchcoe_jobs.wording import counted


def majority_note(connection: Connection, benchmark_id: int, differing: Mapping[int, str]) -> str:
    """Which files agree with this one and which with the stored queries, as one sentence.

    `differing` maps the ids of the queries for which the file has another content to its hash; they are stored as
    variants already. A file counts once, however many experts it has.
    """
    runs = file_origins.import_runs(connection, benchmark_id)
    with_this: dict[int, set[str]] = defaultdict(set)
    for run_id, query_id, content_hash in file_origins.variants(connection, differing):
        if content_hash == differing[query_id] and run_id in runs:
            with_this[query_id].add(runs[run_id].sha256)
    with_stored: dict[int, set[str]] = defaultdict(set)
    first: dict[int, int] = {}
    expert_ids = {run.expert_id for run in runs.values()}
    for query_id, run_id in file_origins.scoring_runs(connection, expert_ids, differing):
        if run_id in runs:
            with_stored[query_id].add(runs[run_id].sha256)
            first[query_id] = min(run_id, first.get(query_id, run_id))
    rows = f"{counted(len(differing), 'row')} differ from the stored queries".replace("1 row differ", "1 row differs")
    odd = [query_id for query_id in differing if len(with_this[query_id]) > len(with_stored[query_id])]
    if odd:
        [(experts, _)] = Counter(runs[first[id_]].expert if id_ in first else None for id_ in odd).most_common(1)
        whose = "what is stored" if experts is None else f"the first file, that of {experts!r},"
        most = max(len(with_this[id_]) for id_ in odd)
        return f"{rows}; for {len(odd)} of them, {counted(most, 'file')} agree with this one: {whose} is the odd one"
    tied = sum(len(with_this[id_]) == len(with_stored[id_]) for id_ in differing)
    if tied:
        return f"{rows}; for {tied} of them, as many files agree with this one as with the stored queries"
    return f"{rows}, with which most files agree"
