"""What an audit reads, and the two repairs."""

from __future__ import annotations

from sqlalchemy import select

from benchcoe_jobs.store.results import aggregates, catalog, experts, repairs, responses, score_table
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Response, Run, Score, Stratum
from benchcoe_jobs.store.views import subject_label


def test_moved_scores_belong_to_a_new_run_and_responses_stay(filled: Store) -> None:
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        expert_id, stored = experts.find_expert(connection, "a"), catalog.stored_queries(connection, benchmark_id)
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"run": 9})
        score = NewScore(stored["q4"].id, stored["q4"].stratum_id, 0.75, prompt_tokens=5, cost=0.5)
        responses.write_scores(connection, expert_id, run_id, [score])
        moves = {stored[old].id: stored[new].id for old, new in (("q4", "q5"), ("q5", "q4"))}
        touched = repairs.move_scores(connection, expert_id, benchmark_id, moves, {"repaired_order": "swap"})
        assert {stored["q4"].stratum_id, stored["q5"].stratum_id} <= touched
        rows = connection.execute(select(Score.query_id, Score.value, Score.run_id).where(Score.expert_id == expert_id))
        scores = {row.query_id: (row.value, row.run_id) for row in rows}
        assert (scores[stored["q5"].id][0], scores[stored["q4"].id][0]) == (0.75, 0.0)
        new_run = scores[stored["q5"].id][1]
        run = connection.execute(select(Run).where(Run.id == new_run)).one()
        original = connection.scalars(select(Run.fingerprint).where(Run.id == run_id)).one()
        assert run.provenance == {"repaired_order": "swap", "of_run": original}
        of_runs = select(Response.run_id, Response.query_id, Response.prompt_tokens, Response.cost)
        responses_now = set(map(tuple, connection.execute(of_runs.where(Response.run_id.in_([run_id, new_run])))))
        assert responses_now == {(run_id, stored["q4"].id, 5, 0.5), (new_run, stored["q5"].id, 5, 0.5)}


def test_moved_queries_take_their_scores_along(filled: Store) -> None:
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        stored, ids = catalog.stored_queries(connection, benchmark_id), experts.expert_ids(connection)
        moves = repairs.split_moves(connection, benchmark_id, {stored["q1"].id: "test"})
        assert moves == [(stored["q1"].id, stored["q1"].stratum_id, stored["q4"].stratum_id)]
        changed = repairs.move_queries(connection, {query_id: new for query_id, _, new in moves})
        assert changed == {(id_, stored[key].stratum_id) for id_ in ids.values() for key in ("q1", "q4")}
        aggregates.refresh(connection, [benchmark_id], changed)
        assert [ref.key for ref in score_table.query_refs(connection, benchmark_id, "test")] == ["q1", "q4"]
        sizes = {row.id: row.n_queries for row in connection.execute(select(Stratum.id, Stratum.n_queries))}
        assert (sizes[stored["q1"].stratum_id], sizes[stored["q4"].stratum_id]) == (2, 2)
        c = subject_label.c
        labels = connection.execute(select(c.split, c.subject, c.expert, c.mean).where(c.pool == "all"))
        assert set(map(tuple, labels)) == {
            ("train", "maths", "b", 1.0),
            ("train", "law", "b", 1.0),
            ("test", "maths", "a", 1.0),
        }


def test_extractions_with_their_claims(filled: Store) -> None:
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        expert_id, query = experts.find_expert(connection, "a"), catalog.stored_queries(connection, benchmark_id)["q2"]
        assert not repairs.has_extractions(connection, expert_id, benchmark_id)
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"run": 9})
        score = NewScore(query.id, query.stratum_id, 0.0, "A", "letter", "A", claimed="B")
        responses.write_scores(connection, expert_id, run_id, [score])
        assert repairs.has_extractions(connection, expert_id, benchmark_id)
        [row] = repairs.extracted_answers(connection, benchmark_id)
    assert tuple(row) == (expert_id, query.id, 0.0, "A", "B", None)
