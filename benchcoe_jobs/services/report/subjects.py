"""The subjects of a report: the mean of every expert on each, and how certain the labels are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from benchcoe_jobs.domain import Policy, Source
from benchcoe_jobs.services.labelling.build import flip_rates_of
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import QueryLabelCounts, Scope, SubjectLabel
from benchcoe_jobs.store.results import means

SETTLED = 0.05
"""A label is settled if no other expert has the same mean, and another wins in at most this share of the resamples.

That of an expert whose profiling stopped early is settled by the test that stopped it.
"""


@dataclass(frozen=True, slots=True)
class SubjectFigures:
    """A subject with `n_queries` on the split of the labels, and its label.

    `expert` is None if no expert earns the label. `margin` is its mean less that of the next one, None without one.
    `flip_rate` is the share of resamples of the queries in which another expert wins; None for reported scores.
    `abstains` is whether the policy `abstain` would choose the best single expert instead. `means` has the mean of
    each expert with a score, as a fraction.
    """

    subject: str
    n_queries: int
    expert: str | None
    mean: float | None
    n: int | None
    margin: float | None
    tied: int
    source: str | None
    flip_rate: float | None
    is_settled: bool
    abstains: bool
    means: dict[str, float]


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """The labels of a split: by subject, and the counts of the query labels."""

    split: str
    subjects: list[SubjectFigures]
    queries: QueryLabelCounts


def label_figures(connection: Connection, scope: Scope) -> LabelFigures:
    """The label figures of a scope, subjects by name."""
    labels = live_labels.subject_labels(connection, scope)
    rates = flip_rates_of(connection, scope, labels)
    label_of = {label.subject: label for label in labels}
    abstaining = {x.subject: x.expert for x in live_labels.subject_labels(connection, scope, Policy.ABSTAIN)}
    by_subject: dict[str, dict[str, float]] = {}
    for row in means.subject_means(connection, scope.pool.id, scope.benchmark_id, scope.split):
        by_subject.setdefault(row.subject, {})[row.expert] = row.mean
    found = []
    for subject, n_queries in means.subject_sizes(connection, scope.benchmark_id, scope.split).items():
        label, rate = label_of.get(subject), rates.get(subject)
        expert = label.expert if label else None
        found.append(
            SubjectFigures(
                subject=subject,
                n_queries=n_queries,
                expert=expert,
                mean=label.mean if label else None,
                n=label.n if label else None,
                margin=label.margin if label else None,
                tied=label.tied if label else 0,
                source=label.source if label else None,
                flip_rate=rate,
                is_settled=label is not None and expert is not None and label.tied == 1 and _is_settled(label, rate),
                abstains=expert is not None and abstaining.get(subject) != expert,
                means=by_subject.get(subject, {}),
            )
        )
    choices = live_labels.query_choices(connection, scope)
    return LabelFigures(scope.split, found, live_labels.query_label_counts(connection, choices))


def _is_settled(label: SubjectLabel, flip_rate: float | None) -> bool:
    if label.source == Source.ESTIMATED:
        return True
    return (1 if flip_rate is None else flip_rate) <= SETTLED
