"""Labels are frozen; an expert with too few scores wins none and is named."""

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
    """ann is right on every fourth query; half is right on all of maps and the first half of math, and has no other."""
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
    assert labels.counts.by_expert == {"half": N, "ann": N // 4}
    assert labels.counts.all_wrong == N - N // 4, "no expert earns these"
    assert labels.left_out == [LeftOut("half", "math", N // 2, N)]


def test_a_lower_threshold_is_kept_with_the_pool(toy: Store) -> None:
    labels = built(toy, Level.SUBJECT, min_coverage=0.5)
    assert {label.subject: label.expert for label in labels.subjects} == {"maps": "half", "math": "half"}
    assert labels.left_out == []
    assert built(toy, Level.SUBJECT).frozen == built(toy, Level.SUBJECT, min_coverage=0.5).frozen
    assert built(toy, Level.SUBJECT, min_coverage=0.51).left_out


def test_the_price_of_an_expert_can_be_changed(store: Store, tmp_path: Path) -> None:
    """Of two equally good experts the cheaper one has the label, also if its price was given after the scores."""
    add_experts(store, ann=None, bob=None, cat=None)
    rows = [{"text": f"maps {n}?", "subject": "maps", "split": "train", "score": n % 2} for n in range(N)]
    for name in ("ann", "bob"):
        bring(store, tmp_path, name, *rows)
    bring(store, tmp_path, "cat", *({**row, "score": 0} for row in rows))
    assert {label.expert for label in built(store, Level.SUBJECT).subjects} == {"ann"}, "by name"
    add_experts(store, ann=2.0, bob=1.0)
    assert {label.expert for label in built(store, Level.SUBJECT).subjects} == {"bob"}
    counts = built(store, Level.QUERY).counts
    assert counts is not None
    assert counts.by_expert == {"bob": N // 2}
    with store.writing() as connection:
        unpriced = experts.ExpertRow("bob", "recorded")
        assert experts.add_expert(connection, unpriced) is experts.Registration.UNCHANGED, (
            "options that are omitted stay"
        )
        assert experts.read_expert(connection, "bob")[1].cost == 1.0


@pytest.mark.parametrize("score", [0.0, 0.5])
def test_a_label_that_no_expert_earns_is_none(store: Store, tmp_path: Path, score: float) -> None:
    """On chess the experts are equal; bob is better on maps, and so he is the best single expert."""
    add_experts(store, ann=1.0, bob=2.0)
    for name, on_maps in (("ann", 0.5), ("bob", 0.75)):
        scores = {"maps": on_maps, "chess": score}
        rows = [
            {"key": f"{subject}{n}", "text": f"{subject} {n}?", "subject": subject, "split": "train", "score": value}
            for subject, value in scores.items()
            for n in range(4)
        ]
        bring(store, tmp_path, name, *rows)
    labels = built(store, Level.SUBJECT)
    assert {label.subject: label.expert for label in labels.subjects} == {"maps": "bob", "chess": None}
    assert labels.best_single == "bob"
    assert labels.flip_rates.keys() == {"maps"}
    with store.writing() as connection:
        experts.set_retired(connection, "bob", True)
    labels = built(store, Level.SUBJECT)
    alone = "ann" if score else None
    assert {label.subject: label.expert for label in labels.subjects} == {"maps": "ann", "chess": alone}


def test_a_reported_score_has_no_flip_rate(toy: Store, tmp_path: Path) -> None:
    """A published mean has no queries to resample."""
    assert built(toy, Level.SUBJECT).flip_rates.keys() == {"maps", "math"}
    add_experts(toy, paper=1.0)
    (tmp_path / "paper.csv").write_text("subject,score\nmath,0.9\nmaps,0.1\n")
    import_scores(toy, "paper", tmp_path / "paper.csv", benchmark="toy")
    labels = built(toy, Level.SUBJECT)
    assert {label.subject: label.expert for label in labels.subjects} == {"maps": "half", "math": "paper"}
    assert labels.flip_rates.keys() == {"maps"}


def test_without_scores_there_is_nothing_to_freeze(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=1.0)
    bring(store, tmp_path, "ann", {"key": "a", "text": "a?", "subject": "maps", "split": "test", "score": 1})
    for level in Level:
        with pytest.raises(UsageError, match=r"pool 'all' on toy, split train has no scores: .* import-results"):
            built(store, level)


def test_an_expert_with_too_few_scores_is_named_in_the_message(toy: Store, tmp_path: Path) -> None:
    with toy.writing() as connection:
        experts.change_pool(connection, "one", add=["half"])
        experts.change_pool(connection, "one", add=["ann"])
        experts.set_retired(connection, "ann", True)
    rows = [{"key": f"new{n}", "text": f"new {n}?", "subject": "maps", "split": "train", "score": 0} for n in range(N)]
    add_experts(toy, eve=1.0)
    bring(toy, tmp_path, "eve", *rows)
    message = r"pool 'one' on toy, split train: the closest, half, has scores for \d+ of \d+ queries of 'math|maps'"
    with pytest.raises(UsageError, match=message):
        build_labels(toy, Level.SUBJECT, pool="one", benchmark=None, split="train", min_coverage=0.9)
