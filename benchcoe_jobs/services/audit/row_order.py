"""Find experts whose rows are not in the order of the questions, from scores alone.

The same questions are hard for most experts, so their scores correlate (on MMLU-Pro by 0.25 to 0.54 for a pair). An
expert whose scores correlate with no other either answers at random, or its rows belong to other questions. The usual
reason is a log of a multi-GPU evaluation that was gathered worker by worker. The orders of such logs are tried: with
the right one the correlation is restored.

A correlation only says that two orders differ, and the number of experts does not say which is right: many files of one
harness have the same wrong order. The reference is the experts whose answers came with their questions. Without any, it
is the order in which scores vary most between subjects: some subjects are harder than others, and rows in another order
mix them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.audit.log_order import Numbering, Order, Rows, all_orders
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.wording import percent

MIN_CORRELATION = 0.1
"""Experts whose scores correlate less than this within subjects are unrelated ..."""
SIGMAS = 5
"""... and so are those whose correlation is within this many standard errors of zero."""
RESTORED = 0.5
"""An order is accepted if it restores at least this share of the correlation of the related experts."""
CERTAIN = 3
"""A share of variance is certainly greater than another if it is by this many standard errors."""


@dataclass(frozen=True, slots=True)
class UnrelatedExpert:
    """An expert whose scores do not correlate with those of the reference.

    `reference` names the experts of the reference, and `correlation` is that with their mean, within subjects. `usual`
    is the median correlation of the reference's experts, each with the mean of the others; None if there is one.
    `order` is the order that restores the correlation to `restored`; both are None if no order does. `share` is the
    share of variance between subjects as the scores are stored, `share_restored` in the restored order. `is_certain`
    says whether the order of the expert, and not that of the reference, is wrong. `lowers` says whether the restored
    order lowers the share, which the right order does not.
    """

    expert: str
    reference: tuple[str, ...]
    correlation: float
    usual: float | None
    share: float
    is_certain: bool
    order: Order | None = None
    restored: float | None = None
    share_restored: float | None = None
    lowers: bool = False

    @property
    def doubt(self) -> str | None:
        """The reason why the scores cannot be moved; None if they can."""
        if self.order is None or self.share_restored is None:
            return "no known order restores the correlation"
        if self.lowers:
            return (
                f"in that order the subjects would explain {percent(self.share_restored)} of the variance of its "
                f"scores instead of {percent(self.share)}, so the others are in another order, not this expert"
            )
        if not self.is_certain:
            return (
                "the scores vary alike between subjects in both orders, and no expert's answers came with their "
                "questions, so nothing says which order is right"
            )
        return None


def unrelated_experts(matrix: ScoreMatrix, trusted: Collection[str] = ()) -> list[UnrelatedExpert]:
    """The experts outside the reference, by name; empty if no two experts are related in any order.

    `trusted` are the experts whose answers came with their questions.
    """
    return _Search(matrix, trusted).unrelated()


def share_between_subjects(values: Floats, subjects: Rows) -> float:
    """The share of the variance of scores (n,) that lies between subjects (n,), less the share that chance gives.

    For published files of MMLU-Pro it is 0.035 to 0.071 if the rows are in order, and at most 0.022 in the order of a
    log. NaN scores are left out; it is 0 for equal scores.
    """
    known = ~np.isnan(values)
    _, codes, counts = np.unique(subjects[known], return_inverse=True, return_counts=True)
    scores = values[known] - values[known].mean() if known.any() else values[known]
    total, free = float(scores @ scores), len(scores) - len(counts)
    if total == 0 or free <= 0:
        return 0.0
    sums = np.bincount(codes, scores)
    between = float((sums**2 / counts).sum())
    return (between - (len(counts) - 1) * (total - between) / free) / total


class _Search:
    """One search: the matrix, its questions as orders number them, and the groups of related columns."""

    def __init__(self, matrix: ScoreMatrix, trusted: Collection[str]) -> None:
        self.matrix = matrix
        self.numbering = Numbering.of(matrix.queries)
        self.trusted = {column for column, name in enumerate(matrix.experts) if name in trusted}
        self.scores = np.stack([self._centred(values) for values in matrix.values.T], axis=1)
        self.groups = _groups(self.scores)

    def unrelated(self) -> list[UnrelatedExpert]:
        """See `unrelated_experts`."""
        trusted = [group for group in self.groups if self.trusted & set(group)]
        others = [group for group in self.groups if group not in trusted]
        for group in sorted(trusted, key=len, reverse=True):
            found = self._outside(group, None, is_trusted=True)
            if self._is_reference(group, found):
                return found
        uncertain: list[list[UnrelatedExpert]] = []
        for group in sorted(others, key=lambda group: -self._group_share(group, None)):
            found = self._outside(group, self._better_order(group))
            if self._is_reference(group, found):
                if not found or any(expert.is_certain for expert in found):
                    return found
                uncertain.append(found)
        return min(uncertain, key=len, default=[])  # nothing says which is right: the fewer are named

    def _is_reference(self, group: Sequence[int], found: Sequence[UnrelatedExpert]) -> bool:
        """Whether the scores of an expert are confirmed by those of another one, in some order.

        The scores of one file under two names do not confirm each other.
        """
        different = {self.matrix.values[:, column].tobytes() for column in group}
        return len(different) > 1 or any(expert.order for expert in found)

    def _centred(self, values: Floats) -> Floats:
        """Scores less their mean on the subject, so that hard subjects do not make experts look related."""
        codes, known = self.numbering.subjects, ~np.isnan(values)
        totals = np.bincount(codes[known], values[known], minlength=codes.max() + 1)
        counts = np.bincount(codes[known], minlength=codes.max() + 1)
        return np.asarray(values - (totals / np.maximum(counts, 1))[codes])

    def _column(self, column: int, order: Order | None) -> Floats:
        values: Floats = self.matrix.values[:, column]
        return values if order is None else self.numbering.restored(values, order)

    def _share(self, values: Floats) -> float:
        return share_between_subjects(values, self.numbering.subjects)

    def _group_share(self, group: Sequence[int], order: Order | None) -> float:
        return float(np.mean([self._share(self._column(column, order)) for column in group]))

    def _is_greater(self, greater: float, less: float, column: int, sigmas: float) -> bool:
        """Whether one share of variance is greater than another by more than chance, over an expert's questions."""
        subjects = self.numbering.subjects[~np.isnan(self.matrix.values[:, column])]
        return greater - less > sigmas * _share_error(greater, len(subjects), len(np.unique(subjects)))

    def _better_order(self, group: Sequence[int]) -> Order | None:
        """The order in which a group's scores vary certainly more between subjects than as they are stored.

        It is sought for the mean of the experts with scores on the same questions as the one with most scores.
        """
        known = ~np.isnan(self.matrix.values)
        fullest = max(group, key=lambda column: int(known[:, column].sum()))
        alike = [column for column in group if (known[:, column] == known[:, fullest]).all()]
        values = self.matrix.values[:, alike].mean(axis=1)
        tried = ((self._share(self.numbering.restored(values, order)), order) for order in all_orders())
        best, order = max(tried, key=lambda found: found[0])
        return order if self._is_greater(best, self._share(values), fullest, SIGMAS) else None

    def _outside(self, group: Sequence[int], order: Order | None, *, is_trusted: bool = False) -> list[UnrelatedExpert]:
        """The experts that do not belong to a reference, whose scores are read in `order`."""
        reference = np.stack([self._centred(self._column(column, order)) for column in group], axis=1)
        consensus = _mean(reference)
        usual = None
        if len(group) > 1:
            others = [_mean(np.delete(reference, place, 1)) for place in range(len(group))]
            usual = float(np.median([_correlation(reference[:, place], mean) for place, mean in enumerate(others)]))
        names = tuple(sorted(self.matrix.experts[column] for column in group))
        known = _Reference(names, consensus, usual, self._group_share(group, order), is_trusted)
        found = [
            self._suspect(column, known)
            for column in range(len(self.matrix.experts))
            if column not in self.trusted
            and (order is not None or column not in group)
            and not _are_related(self.scores[:, column], consensus)
        ]
        return sorted(found, key=lambda expert: expert.expert)

    def _suspect(self, column: int, reference: _Reference) -> UnrelatedExpert:
        """The expert of a column, with the order that restores its correlation best."""
        values, codes = self.matrix.values[:, column], self.numbering.subjects
        n, share = int((~np.isnan(values)).sum()), self._share(values)
        found = UnrelatedExpert(
            self.matrix.experts[column],
            reference.names,
            _correlation(self.scores[:, column], reference.consensus),
            reference.usual,
            share,
            is_certain=reference.is_trusted or self._is_greater(reference.share, share, column, CERTAIN),
        )
        tried = ((self.numbering.restored(values, order), order) for order in all_orders())
        restored, moved, order = max(
            ((_correlation(self._centred(moved), reference.consensus), moved, order) for moved, order in tried),
            key=lambda candidate: candidate[0],
        )
        if restored < max(RESTORED * (reference.usual or 0.0), MIN_CORRELATION, SIGMAS / np.sqrt(n)):
            return found
        share_restored = share_between_subjects(moved, codes)
        lowers = self._is_greater(share, share_restored, column, CERTAIN)
        raises = self._is_greater(share_restored, share, column, CERTAIN)
        return replace(
            found,
            order=order,
            restored=restored,
            share_restored=share_restored,
            is_certain=not lowers and (reference.is_trusted or raises),
            lowers=lowers,
        )


@dataclass(frozen=True, slots=True)
class _Reference:
    """See `UnrelatedExpert`. `consensus` (n,) is the mean of the experts' centred scores."""

    names: tuple[str, ...]
    consensus: Floats
    usual: float | None
    share: float
    is_trusted: bool


def _share_error(share: float, n: int, n_subjects: int) -> float:
    """The standard error of a share of variance between subjects over n scores.

    n times the share is distributed like a noncentral chi-squared variable with n_subjects - 1 degrees of freedom.
    """
    return float(np.sqrt(2 * (n_subjects - 1 + 2 * n * max(share, 0.0))) / n)


def _groups(scores: Floats) -> list[list[int]]:
    """Groups of columns that are related, directly or through other columns."""
    ungrouped = list(range(scores.shape[1]))
    groups = []
    while ungrouped:
        group, to_visit = [], [ungrouped.pop(0)]
        while to_visit:
            column = to_visit.pop()
            group.append(column)
            related = [other for other in ungrouped if _are_related(scores[:, column], scores[:, other])]
            ungrouped = [other for other in ungrouped if other not in related]
            to_visit += related
        groups.append(group)
    return groups


def _are_related(a: Floats, b: Floats) -> bool:
    n = int((~np.isnan(a + b)).sum())
    return n > SIGMAS**2 and _correlation(a, b) > max(MIN_CORRELATION, SIGMAS / np.sqrt(n))


def _mean(scores: Floats) -> Floats:
    """Row means (n,) of the known scores, NaN if a row has none."""
    known = ~np.isnan(scores)
    counts = known.sum(axis=1)
    return np.where(counts > 0, np.where(known, scores, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson's correlation over the rows where both are known; 0 if one of them is constant."""
    known = ~np.isnan(a + b)
    if known.sum() < 2:
        return 0.0
    x, y = a[known] - a[known].mean(), b[known] - b[known].mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0
