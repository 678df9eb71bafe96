"""Import a plain table in columns: each distinct query is matched once, and all scores are written in bulk."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.importers.base import NotPlainError, ScoreColumns
from benchcoe_jobs.services.ingest.file_import import FileImport
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.store.results.catalog import StoredQuery
from benchcoe_jobs.store.results.score_grid import ScoreGrid


def take_columns(file: FileImport, table: ScoreColumns) -> None:
    """Import a table as `FileImport.take_part` imports its rows.

    Raises NotPlainError if a row must be skipped, or decided about at the end of the file. Some of the table may then
    be written already: the caller rolls it back.
    """
    if any(faulty_name(benchmark=row.benchmark, subject=row.query.subject, key=row.query.key) for row in table.rows):
        raise NotPlainError
    file.summary.read += table.n
    file.summary.notes += [note.text for note in table.notes]
    settled = file.row_experts.settle([table.rows[0]._replace(expert=name) for name in table.experts])
    ids = [file.expert_id(row) for row in settled]
    if len(settled) < len(table.experts) or len(set(ids)) < len(ids):
        raise NotPlainError
    names = dict(zip(ids, (row.expert or file.expert for row in settled), strict=True))
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(table.rows):
        places[row.benchmark].append(place)
    for benchmark in sorted(places):
        matcher = file.matcher(benchmark)
        matches, skipped, n_new = matcher.match([table.rows[place] for place in places[benchmark]])
        if skipped or matcher.has_doubts:
            raise NotPlainError
        file.summary.new_queries += n_new
        grid = _grid([stored for _, stored in matches], ids, table.values[places[benchmark]])
        file.writer.write_grid(matcher.benchmark_id, grid, names, named=table.experts != [None])


def _grid(queries: list[StoredQuery], expert_ids: list[int], values: Floats) -> ScoreGrid:
    """The scores in the order of ids, of the experts that have some; the runs are not known yet."""
    query_ids, stratum_ids = (np.array(each) for each in zip(*((q.id, q.stratum_id) for q in queries), strict=True))
    rows, columns = np.argsort(query_ids), np.argsort(expert_ids)
    columns = columns[np.isfinite(values[:, columns]).any(axis=0)]
    if len(np.unique(query_ids)) < len(query_ids):  # rows without keys may mean one stored query
        raise NotPlainError
    experts = np.array(expert_ids)[columns]
    return ScoreGrid(query_ids[rows], stratum_ids[rows], experts, np.zeros_like(experts), values[np.ix_(rows, columns)])
