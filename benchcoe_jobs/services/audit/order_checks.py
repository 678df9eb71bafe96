"""The check of the order of rows: experts whose scores do not correlate with the others."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchcoe_jobs.services.audit.findings import Finding, Severity
from benchcoe_jobs.services.audit.row_order import UnrelatedExpert, unrelated_experts
from benchcoe_jobs.services.audit.trusted_experts import trusted_experts
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.wording import percent

MOST = 0.9
"""The share of an expert's scores that must come from answers, if the expert is to show which order is right."""


def unrelated_of(matrix: ScoreMatrix, names: Mapping[str, int], answers: Sequence[Any]) -> list[UnrelatedExpert]:
    """The experts of a benchmark whose scores do not correlate with the others.

    `names` has the ids of the experts, `answers` the rows of `repairs.extracted_answers`. An expert is not trusted if
    too many of its scores were imported without answers.
    """
    trusted = trusted_experts(answers, {query.id: query.subject for query in matrix.queries})
    answered = Counter(row.expert_id for row in answers)
    with_answers = {
        name
        for name in matrix.experts
        if names[name] in trusted and answered[names[name]] >= MOST * np.isfinite(matrix.column(name)).sum()
    }
    return unrelated_experts(matrix.without(matrix.without_scores()), with_answers)


def order_findings(benchmark: str, unrelated: Sequence[UnrelatedExpert]) -> list[Finding]:
    """A finding for each of these experts. Only a certain one names the repair."""
    return [_unrelated(benchmark, found) for found in unrelated]


def _unrelated(benchmark: str, found: UnrelatedExpert) -> Finding:
    usual = "" if found.usual is None else f"; theirs correlate by {found.usual:.2f}"
    what = f"its scores do not correlate with those of {_names(found.reference)} ({found.correlation:+.2f}{usual})"
    if found.expert in found.reference:
        what = "its scores vary little between subjects"
    order = found.order
    if order is None:
        if found.is_certain:
            advice = "It answers at random, or its rows are in an unknown order"
            return Finding(
                Severity.WARNING,
                "unrelated",
                benchmark,
                found.expert,
                f"{what}. {advice}: import a corrected file with --replace, or retire the expert",
                f"benchcoe-jobs retire {shlex.quote(found.expert)}",
            )
        advice = "It answers at random, or the rows of one of the two are in an unknown order"
        return _uncertain(benchmark, found, f"{what}. {advice}")
    what += (
        f". Read as the log of {order.workers} workers, {order.layout} (by {order.by}, over {order.over} rows, "
        f"within each {order.within}), the correlation is {found.restored:.2f}"
    )
    if found.doubt is not None:
        return _uncertain(benchmark, found, f"{what}, but {found.doubt}")
    what += (
        f", and the subjects explain {percent(found.share_restored or 0.0)} of the variance of its scores instead of "
        f"{percent(found.share)}"
    )
    return Finding(
        Severity.ERROR,
        "order",
        benchmark,
        found.expert,
        what,
        f"benchcoe-jobs audit --benchmark {shlex.quote(benchmark)} --repair order --expert {shlex.quote(found.expert)}",
    )


def _uncertain(benchmark: str, found: UnrelatedExpert, what: str) -> Finding:
    """A finding that no repair follows from: only files with the questions can settle it."""
    return Finding(
        Severity.WARNING,
        "unrelated",
        benchmark,
        found.expert,
        f"{what}: import files with the questions, choices and responses",
        f"benchcoe-jobs import-results {shlex.quote(found.expert)} FILE --benchmark {shlex.quote(benchmark)} --replace",
    )


def _names(experts: Sequence[str], most: int = 3) -> str:
    more = [f"{len(experts) - most} more"] if len(experts) > most else []
    *first, last = [*experts[:most], *more]
    return f"{', '.join(first)} and {last}" if first else last
