"""Subject labels as the categories of vLLM semantic-router, which knows fourteen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from benchcoe_jobs.domain import Policy
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.export.selection import Selection
from benchcoe_jobs.services.labelling.scope import best_single
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.labels.live_labels import Contender, SubjectLabel
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.wording import counted

CATEGORIES = (
    "biology",
    "business",
    "chemistry",
    "computer science",
    "economics",
    "engineering",
    "health",
    "history",
    "law",
    "math",
    "other",
    "philosophy",
    "physics",
    "psychology",
)
"""The categories of its domain classifier (pkg/config/domain_contract.go)."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Category:
    """A category with a decision: its best expert, and the mean scores of the routed experts on its subjects."""

    name: str
    winner: str
    means: dict[str, float]
    description: str


@dataclass(frozen=True, slots=True)
class Categories:
    """The decisions of a selection.

    `routed` are the experts that some question may go to, the best single expert first; `overall` has their means on
    the whole split. `left_to_default` are the categories whose questions the best single expert gets because no expert
    is better, or significantly better, on them. `category_of` maps every subject.
    """

    best_single: str
    routed: list[str]
    decided: list[Category]
    left_to_default: list[str]
    category_of: dict[str, str]
    overall: dict[str, float]


def read_categories(connection: Connection, selection: Selection, mapping: Mapping[str, str]) -> Categories:
    """The decisions that follow from the subject labels of a selection.

    `mapping` (subject -> category) is for subjects that are not called like a category. If several subjects have one
    category, the expert of their labels with the highest mean over all of them wins. Raises UsageError if a subject has
    no category, if no expert has scores on all subjects of a category, and if there are no labels.
    """
    scope = selection.scope
    subjects = list(catalog.subject_ids(connection, scope.benchmark_id))
    category_of = _category_of(subjects, mapping, scope.benchmark)
    labels = live_labels.subject_labels(connection, scope, selection.policy)
    single = best_single(connection, scope)
    ranked = live_labels.contenders(connection, scope)
    of_category: dict[str, list[SubjectLabel]] = {}
    for label in labels:
        of_category.setdefault(category_of[label.subject], []).append(label)
    won, left = [], []
    for name in sorted(of_category):
        if (winner := _winner(of_category[name], ranked, selection.policy, single)) is None:
            left.append(name)
        else:
            won.append((name, winner))
    routed = list(dict.fromkeys([single, *sorted({winner for _, winner in won})]))
    decided = [
        Category(
            name,
            winner,
            _means_of(routed, of_category[name], ranked),
            _described(of_category[name], scope.split, scope.benchmark),
        )
        for name, winner in won
    ]
    everything = [label for label in labels if label.subject in ranked]
    return Categories(single, routed, decided, left, category_of, _means_of(routed, everything, ranked))


def _category_of(subjects: Sequence[str], mapping: Mapping[str, str], benchmark: str) -> dict[str, str]:
    if wrong := [subject for subject, category in mapping.items() if not isinstance(category, str)]:
        raise UsageError(f"--map: the category of {wrong[0]!r} is not a text: put quotes around names with a dot")
    if unknown := sorted(set(mapping) - set(subjects)):
        raise UsageError(f"--map: {benchmark} has no subject {unknown[0]!r}; it has {_some(subjects)}")
    if wrong := sorted(set(mapping.values()) - set(CATEGORIES)):
        raise UsageError(f"--map: {wrong[0]!r} is not a category; the categories are {', '.join(CATEGORIES)}")
    found = {subject: mapping.get(subject) or subject.lower().replace("_", " ") for subject in subjects}
    if outside := [subject for subject, category in found.items() if category not in CATEGORIES]:
        raise UsageError(
            f"{benchmark} has {counted(len(outside), 'subject')} outside of the categories: {_some(outside)}. Map each "
            f"with --map FILE, a TOML file with lines such as {outside[0]!r} = 'other'; the categories are "
            f"{', '.join(CATEGORIES)}"
        )
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _winner(
    labels: Sequence[SubjectLabel], ranked: Mapping[str, Sequence[Contender]], policy: Policy, single: str
) -> str | None:
    """The expert of a category; None if its questions are left to the best single expert."""
    earned = {label.subject: label.expert for label in labels if not _is_left(label, policy, single)}
    if not earned:
        return None
    candidates = sorted({expert for expert in earned.values() if expert})
    if len(earned) < len(labels):
        candidates = sorted({*candidates, single})
    if len(candidates) == 1:
        return candidates[0]
    means = _means_of(candidates, labels, ranked)
    if not means:
        names = _some([label.subject for label in labels])
        raise UsageError(
            f"no labelled expert has scores on all of {names}: map them to different categories with --map"
        )
    winner = max(means, key=lambda name: (means[name], name == single))
    return None if winner == single and single not in earned.values() else winner


def _is_left(label: SubjectLabel, policy: Policy, single: str) -> bool:
    """Whether no expert earns a label, or its policy abstained: the best expert was not significantly better."""
    return label.expert is None or (policy is Policy.ABSTAIN and label.expert == single and label.rank > 1)


def _means_of(
    names: Sequence[str], labels: Sequence[SubjectLabel], ranked: Mapping[str, Sequence[Contender]]
) -> dict[str, float]:
    """Name -> mean over the queries of some subjects, of the experts with scores on all of them."""
    found = {}
    for name in names:
        parts = [_part(name, label, ranked.get(label.subject, ())) for label in labels]
        known = [part for part in parts if part is not None]
        if known and len(known) == len(parts):
            found[name] = sum(mean * n for mean, n in known) / sum(n for _, n in known)
    return found


def _part(name: str, label: SubjectLabel, ranked: Sequence[Contender]) -> tuple[float, int] | None:
    for contender in ranked:
        if contender.expert == name:
            return contender.mean, contender.n
    return (label.mean, label.n or 1) if label.expert == name else None  # a reported score


def _described(labels: Sequence[SubjectLabel], split: str, benchmark: str) -> str:
    subjects = "" if len(labels) == 1 else f" ({', '.join(label.subject for label in labels)})"
    n = sum(label.n or 0 for label in labels)
    return f"measured over {n} {split} queries of {benchmark}{subjects}"
