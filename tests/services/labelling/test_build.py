"""A half-profiled expert wins nothing, and is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import add_experts, bring

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.ingest.published_scores import import_scores
from benchcoe_jobs.services.labelling.build import BuiltLabels, build_labels
from benchcoe_jobs.store.labels.live_labels import LeftOut
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

N = 40


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    """ann answers 1 of 4 everywhere; half is always right, on all of `maps` and on half of `math`."""
    add_experts(store, ann=1.0, half=1.0)
    rows = [
        {
            "key": f"{subject}{n}",
            "text": f"{subject} {n}?",
            "subject": subject,
            "split": "train",
            "score": int(n % 4 == 0),
        }
        for subject in ("maps", "math")
        for n in range(N)
    ]
    bring(store, tmp_path, "ann", *rows)
    bring(store, tmp_path, "half", *({**row, "score": 1} for row in rows[: N + N // 2]))
    return store


def built(store: Store, level: Level, min_coverage: float | None = None) -> BuiltLabels:
    return build_labels(store, level, pool="all", benchmark=None, split="train", min_coverage=min_coverage)


def test_by_subject(toy: Store) -> None:
    labels = built(toy, Level.SUBJECT)
    assert {label.subject: label.expert for label in labels.subjects} == {"maps": "half", "math": "ann"}
    assert labels.left_out == [LeftOut("half", "math", N // 2, N)]


def test_by_query(toy: Store) -> None:
    labels = built(toy, Level.QUERY)
    assert labels.counts is not None
    assert labels.counts.by_expert == {"ann": N, "half": N}
    assert labels.left_out == [LeftOut("half", "math", N // 2, N)]


def test_a_lower_threshold_is_kept_with_the_pool(toy: Store) -> None:
    labels = built(toy, Level.SUBJECT, min_coverage=0.5)
    assert {label.subject: label.expert for label in labels.subjects} == {"maps": "half", "math": "half"}
    assert labels.left_out == []
    assert built(toy, Level.SUBJECT).frozen == built(toy, Level.SUBJECT, min_coverage=0.5).frozen
    assert built(toy, Level.SUBJECT, min_coverage=0.51).left_out


def test_what_an_expert_costs_can_be_given_anew(store: Store, tmp_path: Path) -> None:
    """Of two that are tied the cheaper one has the label, also where the price came after the scores."""
    add_experts(store, ann=None, bob=None)
    rows = [{"text": f"maps {n}?", "subject": "maps", "split": "train", "score": n % 2} for n in range(N)]
    for name in ("ann", "bob"):
        bring(store, tmp_path, name, *rows)
    assert {label.expert for label in built(store, Level.SUBJECT).subjects} == {"ann"}, "by name"
    add_experts(store, ann=2.0, bob=1.0)
    assert {label.expert for label in built(store, Level.SUBJECT).subjects} == {"bob"}
    counts = built(store, Level.QUERY).counts
    assert counts is not None
    assert counts.by_expert == {"bob": N}
    with store.writing() as connection:
        unpriced = experts.ExpertRow("bob", "recorded")
        assert experts.add_expert(connection, unpriced) is experts.Registration.UNCHANGED, "what is not said stays"
        assert experts.read_expert(connection, "bob")[1].cost == 1.0
        with pytest.raises(UsageError, match="another engine"):
            experts.add_expert(connection, experts.ExpertRow("bob", "openai", "m", cost=3.0))


def test_a_reported_best_has_no_flip_rate(toy: Store, tmp_path: Path) -> None:
    """A published mean has no queries that could be drawn again."""
    assert built(toy, Level.SUBJECT).flip_rates.keys() == {"maps", "math"}
    add_experts(toy, paper=1.0)
    (tmp_path / "paper.csv").write_text("subject,score\nmath,0.9\nmaps,0.1\n")
    import_scores(toy, "paper", tmp_path / "paper.csv", benchmark="toy")
    labels = built(toy, Level.SUBJECT)
    assert {label.subject: label.expert for label in labels.subjects} == {"maps": "half", "math": "paper"}
    assert labels.flip_rates.keys() == {"maps"}
