"""The columns of the views. They have a separate MetaData, so that Alembic does not propose to create them."""

from __future__ import annotations

from sqlalchemy import Column, Double, Integer, MetaData, String, Table

VIEWS = MetaData()


def _view(name: str, **columns: type) -> Table:
    return Table(name, VIEWS, *(Column(column, kind) for column, kind in columns.items()))


pool_expert = _view("pool_expert", pool_id=Integer, expert_id=Integer)

expert_coverage = _view(
    "expert_coverage",
    expert_id=Integer,
    expert=String,
    benchmark_id=Integer,
    benchmark=String,
    subject_id=Integer,
    subject=String,
    split=String,
    n_scored=Integer,
    n_queries=Integer,
    coverage=Double,
    stopped_early=Integer,
)

expert_subject_score = _view(
    "expert_subject_score",
    expert_id=Integer,
    subject_id=Integer,
    split=String,
    stratum_id=Integer,
    mean=Double,
    n=Integer,
    source=String,
    low=Double,
    high=Double,
)

_EXPERT_RANK: dict[str, type] = {
    "pool_id": Integer,
    "stratum_id": Integer,
    "subject_id": Integer,
    "split": String,
    "expert_id": Integer,
    "expert": String,
    "mean": Double,
    "n": Integer,
    "n_queries": Integer,
    "source": String,
    "low": Double,
    "high": Double,
    "rank": Integer,
    "tied": Integer,
    "next_mean": Double,
}

expert_rank = _view("expert_rank", **_EXPERT_RANK, eligible=Integer)

expert_beaten_by_best = _view(
    "expert_beaten_by_best",
    **_EXPERT_RANK,
    best_expert_id=Integer,
    best_mean=Double,
    best_source=String,
    beaten=Integer,
)

best_single = _view(
    "best_single",
    pool_id=Integer,
    benchmark_id=Integer,
    split=String,
    expert_id=Integer,
    expert=String,
    mean=Double,
    n=Integer,
    n_queries=Integer,
)

_SUBJECT_LABEL: dict[str, type] = {
    "pool_id": Integer,
    "pool": String,
    "benchmark_id": Integer,
    "benchmark": String,
    "subject_id": Integer,
    "subject": String,
    "split": String,
    "expert_id": Integer,
    "expert": String,
    "mean": Double,
    "n": Integer,
    "n_queries": Integer,
    "source": String,
    "low": Double,
    "high": Double,
    "tied": Integer,
    "margin": Double,
    "all_wrong": Integer,
}

subject_label = _view("subject_label", **_SUBJECT_LABEL)

subject_label_cheapest = _view("subject_label_cheapest", **_SUBJECT_LABEL, rank=Integer)

subject_label_abstain = _view("subject_label_abstain", **_SUBJECT_LABEL, rank=Integer)

query_label = _view(
    "query_label",
    pool_id=Integer,
    pool=String,
    benchmark_id=Integer,
    benchmark=String,
    subject_id=Integer,
    subject=String,
    split=String,
    query_id=Integer,
    key=String,
    expert_id=Integer,
    expert=String,
    score=Double,
    tied=Integer,
    margin=Double,
    all_wrong=Integer,
)

query_target = _view(
    "query_target",
    pool_id=Integer,
    benchmark_id=Integer,
    subject_id=Integer,
    split=String,
    query_id=Integer,
    expert_id=Integer,
    score=Double,
)

pool_summary = _view(
    "pool_summary",
    pool_id=Integer,
    pool=String,
    benchmark_id=Integer,
    benchmark=String,
    split=String,
    n_queries=Integer,
    n_labelled=Integer,
    best_single=String,
    best_single_accuracy=Double,
    subject_oracle=Double,
    oracle=Double,
    all_wrong=Integer,
)
