"""Gains of every router kind on real results, in distribution and on held-out subjects.

    OMP_NUM_THREADS=1 python bench/routing.py STORE_FOLDER [--resplits 5] [--only resplits|subjects|fit] [--processes 2]

STORE_FOLDER is a folder that bench/mmlu_pro.py --store made; results and embeddings are read from it. resplits: five
split assignments (the first is the stored one), every kind against the best single expert and against the kind that
gains most. subjects: each subject held out in turn, with and without the fallback. fit: the time of a query-level
embedding fit against the ridge of scikit-learn on the same matrix; the time and the gain of a blend fit against one
that reads the matrix anew for each fold and penalty.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from harness import markdown, seconds
from mmlu_pro import POOLS, encoder, score_matrix
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import Level
from benchcoe_jobs.routers import blend, fallback
from benchcoe_jobs.routers.base import Examples, Matrix, TrainingContext
from benchcoe_jobs.routers.blend import BLEND, BlendHead
from benchcoe_jobs.routers.embedding import EMBEDDING
from benchcoe_jobs.routers.linear import RidgeHead
from benchcoe_jobs.routers.model import RouterTrainer, new_trainer
from benchcoe_jobs.routers.refits import Refits, refits
from benchcoe_jobs.services.intervals import mean_interval
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.routing.routers import StoredVectors
from benchcoe_jobs.store.session import open_store


@dataclass(frozen=True)
class Kind:
    """A router to measure. `calibrated`: also with its fallback, whose calibration takes an hour for some kinds."""

    level: Level
    kind: str
    head: str
    calibrated: bool

    def __str__(self) -> str:
        return f"{self.level}, {self.kind} {self.head}"


KINDS = [
    Kind(Level.QUERY, "blend", "ridge", True),
    Kind(Level.SUBJECT, "embedding", "knn", True),
    Kind(Level.SUBJECT, "embedding", "linear", True),
    Kind(Level.SUBJECT, "tfidf", "linear", True),
    Kind(Level.SUBJECT, "embedding", "mlp", False),
    Kind(Level.QUERY, "embedding", "linear", False),
    Kind(Level.QUERY, "embedding", "knn", False),
    Kind(Level.QUERY, "embedding", "mlp", False),
    Kind(Level.QUERY, "tfidf", "linear", False),
]
HELD_OUT = [KINDS[0], KINDS[1], KINDS[3]]
NAMES = ["four 7-9B", "up to 14B", "all twelve"]


@dataclass(frozen=True)
class Data:
    """Every question with its stored split, and the scores (n, experts) of every expert."""

    questions: list[Question]
    split: NDArray[np.str_]
    subjects: NDArray[np.str_]
    names: list[str]
    scores: Floats
    setting: TrainingContext


@dataclass(frozen=True)
class Gains:
    """Gain of each question over the best single expert, with and without the fallback, and whether it fell back."""

    rows: NDArray[np.intp]
    routed: Floats
    with_fallback: Floats | None
    fell_back: NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--resplits", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=["resplits", "subjects", "fit"])
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes, get_context("spawn"), begin, [options.store]) as processes:
        if options.only in (None, "resplits"):
            resplits(processes, options.resplits)
        if options.only in (None, "subjects"):
            held_out(processes, read(options.store))
    if options.only in (None, "fit"):
        data = read(options.store)
        fit(data)
        blend_fit(data)


DATA: list[Data] = []
"""The data of a process."""


def begin(folder: Path) -> None:
    DATA.append(read(folder))
    # Pools share what does not depend on experts: subject classifiers, and similarities of questions.
    fallback._held_out_predictions = remembered(fallback._held_out_predictions, held_out_by)
    fallback._similarity = remembered(
        fallback._similarity, lambda x, others, k, *, skips_itself=False: (x, others, k, skips_itself)
    )


def held_out_by(
    level: Level, refit: Any, x: Matrix, examples: Examples, parts: list[NDArray[np.bool_]]
) -> Iterable[Any]:
    """All that the predictions for left-out questions depend on."""
    return level, refit.__self__.kind, refit.__self__.head, x, examples.targets, *parts


def read(folder: Path) -> Data:
    store = open_store(f"sqlite:///{folder.resolve()}/benchcoe.db")
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        ids = experts.expert_ids(connection)
        questions, split, rows = [], [], []
        for name in ("train", "validation", "test"):
            found = catalog.questions(connection, benchmark_id, name)
            questions += found
            split += [name] * len(found)
            rows += list(evaluations.outcomes(connection, benchmark_id, name, ids.values()))
    POOLS["all twelve"] = list(ids)
    return Data(
        questions,
        np.array(split),
        np.array([question.subject for question in questions]),
        list(ids),
        score_matrix(questions, rows, list(ids.values())),
        TrainingContext(encoder(), cache=StoredVectors(store)),
    )


def remembered(make: Callable[..., Any], about: Callable[..., Iterable[Any]]) -> Callable[..., Any]:
    """The function with a cache; `about` is all that its result depends on."""
    kept: dict[str, Any] = {}

    @functools.wraps(make)
    def once(*given: Any, **named: Any) -> Any:
        digest = hashlib.sha256()
        for part in about(*given, **named):
            array = getattr(part, "data", part) if not isinstance(part, np.ndarray) else np.ascontiguousarray(part)
            digest.update(array.tobytes() if isinstance(array, np.ndarray) else repr(part).encode())
        if digest.hexdigest() not in kept:
            kept[digest.hexdigest()] = make(*given, **named)
        return kept[digest.hexdigest()]

    return once


def gains(
    data: Data,
    kind: Kind,
    pool: str,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    most: float = fallback.DEFAULT_MAX_FALLBACK,
) -> Gains:
    """Train on some questions and route others, of which those count that every expert of the pool has a score on."""
    scores = scores_of(data, pool)
    test = complete(scores, test)
    outputs, examples = subjects_of(data, train)
    if kind.level is Level.QUERY:
        outputs, examples = tuple(POOLS[pool]), replace(examples, targets=scores[train])
    model = trainer(data, kind).fit(
        outputs, examples, scores=scores[train] if kind.calibrated else None, max_fallback=most
    )
    predictions, familiarity, _ = model.read([data.questions[r].router_input for r in test])
    chosen = predictions.argmax(axis=1)
    if kind.level is Level.SUBJECT:
        chosen = subject_table(data, scores, train, outputs)[chosen]
    gain = scores[test, chosen] - scores[test, best(scores[train], 0)]
    if model.fallback is None:
        return Gains(test, gain, None, np.zeros(len(test), dtype=bool))
    fell_back = familiarity < model.fallback.threshold
    return Gains(test, gain, np.where(fell_back, 0.0, gain), fell_back)


def trainer(data: Data, kind: Kind) -> RouterTrainer:
    return new_trainer(kind.level, kind.kind, kind.head, data.setting if kind.kind != "tfidf" else TrainingContext())


def scores_of(data: Data, pool: str) -> Floats:
    """Scores (n, experts) of a pool."""
    return data.scores[:, [data.names.index(name) for name in POOLS[pool]]]


def complete(scores: Floats, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The questions that every expert has a score on."""
    return rows[~np.isnan(scores[rows]).any(axis=1)]


def subjects_of(data: Data, rows: NDArray[np.intp]) -> tuple[tuple[str, ...], Examples]:
    """The subjects of some questions, and the examples for a classifier."""
    subjects = tuple(sorted(set(data.subjects[rows])))
    targets = np.eye(len(subjects))[np.searchsorted(subjects, data.subjects[rows])]
    return subjects, Examples([data.questions[r].router_input for r in rows], data.subjects[rows].tolist(), targets)


def subject_table(data: Data, scores: Floats, train: NDArray[np.intp], subjects: Iterable[str]) -> NDArray[np.intp]:
    """The best expert of each subject."""
    single = best(scores[train], 0)
    return np.array([best(scores[train][data.subjects[train] == subject], single) for subject in subjects])


def best(scores: Floats, otherwise: int) -> int:
    """The expert with the highest mean among those with enough coverage, as the label views choose it."""
    known = (~np.isnan(scores)).mean(axis=0)
    return int(np.where(known >= 0.95, np.nanmean(scores, axis=0), -1.0).argmax()) if len(scores) else otherwise


def one_resplit(work: tuple[Kind, int]) -> list[Gains]:
    """The gains of a kind in one split assignment, for each pool."""
    kind, seed = work
    return [gains(DATA[0], kind, pool, *split(DATA[0], seed)) for pool in NAMES]


def resplits(processes: ProcessPoolExecutor, n: int) -> None:
    print(f"## In distribution: mean gain in points over the best single expert, {n} split assignments\n", flush=True)
    work = [(kind, seed) for kind in KINDS for seed in range(n)]
    found: dict[Kind, list[list[Gains]]] = {}
    for (kind, _), of_pools in zip(work, processes.map(one_resplit, work), strict=True):
        found.setdefault(kind, []).append(of_pools)
        report_progress(f"{kind}: {len(found[kind])} of {n} split assignments", found[kind])
    rows = []
    for number, pool in enumerate(NAMES):
        here = {kind: [of_pools[number] for of_pools in of_resplits] for kind, of_resplits in found.items()}
        bare = {kind: [(g.rows, g.routed) for g in of_resplits] for kind, of_resplits in here.items()}
        given = {
            kind: [(g.rows, g.with_fallback) for g in of_resplits if g.with_fallback is not None]
            for kind, of_resplits in here.items()
            if kind.calibrated
        }
        for kind, of_resplits in here.items():
            fell = f"{100 * np.mean([g.fell_back.mean() for g in of_resplits]):.0f} %" if kind.calibrated else "-"
            rows.append([pool, str(kind), *beside_the_best(kind, bare), *beside_the_best(kind, given), fell])
    columns = ["pool", "router", "gain, no fallback", "less the best", "gain, as given", "less the best", "fell back"]
    markdown(columns, rows)


def beside_the_best(kind: Kind, found: dict[Kind, Found]) -> tuple[str, str]:
    """The gain of a kind, and its difference from the kind that gains most."""
    if kind not in found:
        return "-", "-"
    most = max(found, key=lambda other: float(np.mean(by_question(found[other])[1])))
    return interval(found[kind]), "the best" if kind is most else less(found[kind], found[most])


def split(data: Data, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Train and test questions; seed 0 is the stored split assignment, any other one assigns all questions 60/10/30."""
    if seed == 0:
        return np.flatnonzero(data.split == "train"), np.flatnonzero(data.split == "test")
    shuffled = np.random.default_rng(seed).permutation(len(data.split))
    return shuffled[: len(shuffled) * 6 // 10], shuffled[len(shuffled) * 7 // 10 :]


def report_progress(about: str, found: list[list[Gains]]) -> None:
    """Print the figures so far of each pool to stderr: all take an hour."""
    so_far = ([of_pools[number] for of_pools in found] for number in range(len(NAMES)))
    gains_ = (
        (np.concatenate([g.routed for g in here]), np.concatenate([g.fell_back for g in here])) for here in so_far
    )
    means = (f"{100 * gain.mean():+.2f}, {100 * np.where(fell, 0.0, gain).mean():+.2f}" for gain, fell in gains_)
    print(f"{about}: {'; '.join(means)}", file=sys.stderr, flush=True)


def one_subject(work: tuple[Kind, str]) -> list[Gains]:
    """The gains of a kind on a held-out subject, for each pool."""
    kind, subject = work
    here = DATA[0].subjects == subject
    train = np.flatnonzero((DATA[0].split == "train") & ~here)
    return [gains(DATA[0], kind, pool, train, np.flatnonzero(here)) for pool in NAMES]


def held_out(processes: ProcessPoolExecutor, data: Data) -> None:
    print("## Out of distribution: each subject held out in turn\n", flush=True)
    work = [(kind, subject) for kind in HELD_OUT for subject in sorted(set(data.subjects))]
    found: dict[Kind, list[list[Gains]]] = {}
    for (kind, subject), of_pools in zip(work, processes.map(one_subject, work), strict=True):
        found.setdefault(kind, []).append(of_pools)
        report_progress(f"{kind}: up to {subject}", found[kind])
    rows = []
    for number, pool in enumerate(NAMES):
        for kind, of_subjects in found.items():
            here = [of_pools[number] for of_pools in of_subjects]
            at = np.concatenate([g.rows for g in here])
            routed, kept, fell = (
                np.concatenate([getattr(g, part) for g in here]) for part in ("routed", "with_fallback", "fell_back")
            )
            test = data.split[at] == "test"
            rows.append(
                [
                    pool,
                    str(kind),
                    interval([(at, routed)]),
                    interval([(at, kept)]),
                    f"{100 * fell.mean():.0f} %",
                    interval([(at[test], kept[test])]),
                ]
            )
    markdown(["pool", "router", "no fallback", "with fallback", "fell back", "with fallback, test split only"], rows)


Found = list[tuple[NDArray[np.intp], Floats]]
"""The questions of each split assignment, and their gains."""


def by_question(found: Found) -> tuple[NDArray[np.intp], Floats]:
    """Each question's share in the mean of the mean gains, times the number of questions."""
    total: dict[int, float] = {}
    for rows, gain in found:
        for row, value in zip(rows.tolist(), gain.tolist(), strict=True):
            total[row] = total.get(row, 0.0) + value / (len(rows) * len(found))
    rows = np.array(sorted(total))
    return rows, np.array([total[row] for row in rows.tolist()]) * len(total)


def interval(found: Found) -> str:
    """Mean of the mean gains in points, with a 95 % bootstrap interval over questions."""
    return in_points(by_question(found)[1])


def less(found: Found, other: Found) -> str:
    """The difference of the gains of two routers on the same questions and split assignments."""
    (rows, mine), (others, theirs) = by_question(found), by_question(other)
    assert np.array_equal(rows, others)
    return in_points(mine - theirs)


def in_points(values: Floats) -> str:
    low, high = mean_interval(values)
    return f"{100 * values.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def fit(data: Data) -> None:
    """29 experts x 12,032 questions: the twelve real ones, and copies whose scores are shuffled among the questions."""
    from sklearn.linear_model import Ridge

    x = EMBEDDING.features(data.setting).transform([question.router_input for question in data.questions])
    rng = np.random.default_rng(0)
    real = np.nan_to_num(data.scores)
    targets = np.hstack([real, *(rng.permutation(real) for _ in range(2))])[:, :29]
    examples = Examples((), (), targets)
    ours = seconds(lambda: RidgeHead().fit(x, examples))
    theirs = seconds(lambda: Ridge(alpha=30.0).fit(x.astype(np.float64), targets))
    print(f"## Fit of {targets.shape[1]} x {len(x)}, embeddings cached, against Ridge of scikit-learn\n")
    markdown(["fit s", "scikit-learn s", "ratio"], [[f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}"]])


def blend_fit(data: Data) -> None:
    """The dense fits of blend against those that read the matrix each time, on the stored split assignment."""
    train, test = split(data, 0)
    features = BLEND.features(data.setting)
    x, others = (features.transform([data.questions[row].router_input for row in rows]) for rows in (train, test))
    once = remembered(Refits.classifier, lambda fits, *rest: (fits._x, *rest))
    rows = []
    for number, pool in enumerate(["four 7-9B", "up to 14B", "five alike", "all twelve"]):
        scores = scores_of(data, pool)
        examples = Examples((), data.subjects[train].tolist(), scores[train])
        complete_rows = ~np.isnan(scores[test]).any(axis=1)
        known, single = scores[test][complete_rows], best(scores[train], 0)
        gains_, taken = [], []
        for make in (refits, Refits):
            start = time.process_time()
            with mock.patch.object(blend, "refits", make):
                head = BlendHead()
                head.fit(x, examples)
            taken.append(time.process_time() - start)
            chosen = head.predict(others[complete_rows]).argmax(axis=1)
            gains_.append(known[np.arange(len(known)), chosen] - known[:, single])
        Refits.classifier = once  # type: ignore[method-assign]  # the same for every pool; the first is timed
        times = [f"{taken[0]:.1f}", f"{taken[1]:.1f}", f"{taken[0] / taken[1]:.2f}"] if not number else ["", "", ""]
        rows.append([pool, *times, *map(in_points, (*gains_, gains_[0] - gains_[1]))])
    print("## Fit of blend, embeddings cached, against reading the matrix for each fold and penalty\n")
    columns = ["pool", "CPU s", "anew, CPU s", "ratio", "gain", "anew, gain", "difference"]
    markdown(columns, rows)


if __name__ == "__main__":
    main()
