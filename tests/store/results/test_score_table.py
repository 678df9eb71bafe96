"""The scores of a benchmark for computations over many experts."""

from __future__ import annotations

from benchcoe_jobs.domain import Split
from benchcoe_jobs.store.results import catalog, experts, responses, score_table
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.results.score_table import ScoredQuery
from benchcoe_jobs.store.session import Store


def test_references_and_queries_are_in_the_order_of_their_ids(filled: Store) -> None:
    with filled.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        refs = score_table.query_refs(connection, benchmark_id)
        tests = score_table.query_refs(connection, benchmark_id, "test")
        queries = score_table.queries(connection, benchmark_id)
    assert [ref.key for ref in refs] == ["q1", "q2", "q3", "q4", "q5"]
    assert tests == [refs[3]]
    assert [(id_, query.key, query.split) for id_, query in queries] == [
        (ref.id, ref.key, Split(ref.split)) for ref in refs
    ]


def test_scores_of_some_experts_and_one_split(filled: Store) -> None:
    with filled.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        ids, refs = experts.expert_ids(connection), score_table.query_refs(connection, benchmark_id)
        tested = set(score_table.scores(connection, benchmark_id, ids.values(), "test"))
        of_a = set(score_table.scores(connection, benchmark_id, [ids["a"]]))
    assert tested == {(refs[3].id, ids["a"], 1.0), (refs[3].id, ids["b"], 0.0)}
    assert len(of_a) == 5


def test_scores_come_with_the_cost_of_their_responses(filled: Store) -> None:
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        expert_id, query = experts.find_expert(connection, "a"), score_table.query_refs(connection, benchmark_id)[1]
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"run": 9})
        score = NewScore(query.id, query.stratum_id, 0.5, prompt_tokens=7, completion_tokens=8, cost=0.25)
        responses.write_scores(connection, expert_id, run_id, [score])
        position = {ref.id: at for at, ref in enumerate(score_table.query_refs(connection, benchmark_id))}
        found = score_table.expert_scores(connection, benchmark_id, expert_id, position)
    assert ScoredQuery(1, 0.5, 7, 8, 0.25) in found
    assert ScoredQuery(0, 1.0, None, None, None) in found
    assert len(found) == 5
