"""What routing gains on real results, and what it loses where it was not trained.

    python bench/routing.py STORE_FOLDER [--deals 5] [--only deals|subjects|fit]

STORE_FOLDER is one that bench/mmlu_pro.py kept (--store): the results and the embeddings are read from
it. `deals`: train and test dealt anew five times (the first deal is the stored one), every kind beside the
subject table. `subjects`: each subject held out in turn, with and without the fallback. `fit`: the time
of a query-level embedding fit against scikit-learn's own ridge on the same matrix.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import markdown, seconds
from mmlu_pro import POOLS, encoder, score_matrix
from numpy.typing import NDArray

from benchcoe_jobs.domain import Level
from benchcoe_jobs.jobs.bootstrap import mean_interval
from benchcoe_jobs.routers import blend
from benchcoe_jobs.routers.base import Examples, Floats, Matrix, Setting
from benchcoe_jobs.routers.embedding import EMBEDDING
from benchcoe_jobs.routers.linear import RidgeHead
from benchcoe_jobs.routers.model import Recipe, new_recipe
from benchcoe_jobs.store import catalog, evaluations, experts
from benchcoe_jobs.store.catalog import Question
from benchcoe_jobs.store.routers import StoredVectors
from benchcoe_jobs.store.session import open_store

KINDS = [
    (Level.QUERY, "blend", "ridge"),
    (Level.SUBJECT, "embedding", "linear"),
    (Level.QUERY, "embedding", "linear"),
    (Level.QUERY, "embedding", "knn"),
    (Level.SUBJECT, "tfidf", "linear"),
]
NAMES = ["four 7-9B", "up to 14B", "all twelve"]


@dataclass(frozen=True)
class Data:
    """Every question with the split it is stored in, and the scores (n, experts) of every expert."""

    questions: list[Question]
    split: NDArray[np.str_]
    subjects: NDArray[np.str_]
    names: list[str]
    scores: Floats
    setting: Setting


@dataclass(frozen=True)
class Gains:
    """Gain of each question over the best single expert, with and without the fallback; who fell back."""

    rows: NDArray[np.intp]
    routed: Floats
    with_fallback: Floats
    fell_back: NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--deals", type=int, default=5)
    parser.add_argument("--pools", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--routers", type=int, nargs="*", help="numbers in KINDS; all where left out")
    parser.add_argument("--only", choices=["deals", "subjects", "fit"])
    options = parser.parse_args()
    data = read(options.store)
    NAMES[:] = options.pools
    if options.routers:
        KINDS[:] = [KINDS[number] for number in options.routers]
    blend._classifier = remembered(blend._classifier)  # the pools share their subject classifiers
    for part, work in (("deals", lambda: deals(data, options.deals)), ("subjects", lambda: held_out(data))):
        if options.only in (None, part):
            work()
    if options.only in (None, "fit"):
        fit(data)


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
        Setting(encoder(), cache=StoredVectors(store)),
    )


def remembered(make: Callable[..., object]) -> Callable[..., object]:
    """The same function, which works out the same answer once."""
    kept: dict[str, object] = {}

    @functools.wraps(make)
    def once(x: Matrix, subjects: list[str], names: list[str]) -> object:
        key = hashlib.sha256(np.ascontiguousarray(x).tobytes() + "|".join([*subjects, *names]).encode()).hexdigest()
        if key not in kept:
            kept[key] = make(x, subjects, names)
        return kept[key]

    return once


def gains(data: Data, recipe: Recipe, pool: str, train: NDArray[np.intp], test: NDArray[np.intp]) -> Gains:
    """Train on some questions and route others; compared where every expert of the pool has a score."""
    columns = [data.names.index(name) for name in POOLS[pool]]
    scores = data.scores[:, columns]
    test = test[~np.isnan(scores[test]).any(axis=1)]
    outputs, targets = tuple(POOLS[pool]), scores[train]
    if recipe.level is Level.SUBJECT:
        outputs = tuple(sorted(set(data.subjects[train])))
        targets = np.eye(len(outputs))[np.searchsorted(outputs, data.subjects[train])]
    examples = Examples([data.questions[r].asked for r in train], data.subjects[train].tolist(), targets)
    model = recipe.fit(outputs, examples, scores=scores[train])
    predictions, familiarity = model.read([data.questions[r].asked for r in test])
    single = best(scores[train], 0)
    chosen = predictions.argmax(axis=1)
    if recipe.level is Level.SUBJECT:
        table = [best(scores[train][data.subjects[train] == subject], single) for subject in outputs]
        chosen = np.array(table)[chosen]
    gain = scores[test, chosen] - scores[test, single]
    assert model.fallback is not None
    fell_back = familiarity < model.fallback.threshold
    return Gains(test, gain, np.where(fell_back, 0.0, gain), fell_back)


def best(scores: Floats, otherwise: int) -> int:
    """The expert of the highest mean among those with enough coverage, as the label views choose it."""
    known = (~np.isnan(scores)).mean(axis=0)
    return int(np.where(known >= 0.95, np.nanmean(scores, axis=0), -1.0).argmax()) if len(scores) else otherwise


def deals(data: Data, n: int) -> None:
    print("## In distribution: mean gain in points over the best single expert, five deals\n", flush=True)
    rows = []
    for pool in NAMES:
        for level, kind, head in KINDS:
            recipe = new_recipe(level, kind, head, without_encoder(data.setting, kind))
            found = [gains(data, recipe, pool, *dealt(data, seed)) for seed in range(n)]
            stored = found[0]
            rows.append(
                [
                    pool,
                    f"{level}, {kind} {head}",
                    interval([(g.rows, g.routed) for g in found]),
                    interval([(g.rows, g.with_fallback) for g in found]),
                    f"{100 * np.mean([g.fell_back.mean() for g in found]):.0f} %",
                    interval([(stored.rows, stored.routed)]),
                ]
            )
            print("  ".join(rows[-1]), flush=True)
    print()
    markdown(
        ["pool", "router", "gain, no fallback", "gain, with fallback", "fell back", "stored deal, no fallback"], rows
    )


def dealt(data: Data, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Train and test; seed 0 is how the store deals, the others deal all questions 60/10/30 anew."""
    if seed == 0:
        return np.flatnonzero(data.split == "train"), np.flatnonzero(data.split == "test")
    shuffled = np.random.default_rng(seed).permutation(len(data.split))
    return shuffled[: len(shuffled) * 6 // 10], shuffled[len(shuffled) * 7 // 10 :]


def held_out(data: Data) -> None:
    print("## Out of distribution: each subject held out in turn\n", flush=True)
    rows = []
    for pool in NAMES:
        for level, kind, head in KINDS[:2]:
            recipe = new_recipe(level, kind, head, without_encoder(data.setting, kind))
            found = []
            for subject in sorted(set(data.subjects)):
                here = data.subjects == subject
                train = np.flatnonzero((data.split == "train") & ~here)
                found.append(gains(data, recipe, pool, train, np.flatnonzero(here)))
            at = np.concatenate([g.rows for g in found])
            routed, kept, fell = (
                np.concatenate([getattr(g, part) for g in found]) for part in ("routed", "with_fallback", "fell_back")
            )
            test = data.split[at] == "test"
            rows.append(
                [
                    pool,
                    f"{level}, {kind} {head}",
                    interval([(at, routed)]),
                    interval([(at, kept)]),
                    f"{100 * fell.mean():.0f} %",
                    interval([(at[test], kept[test])]),
                ]
            )
            print("  ".join(rows[-1]), flush=True)
    print()
    markdown(["pool", "router", "no fallback", "with fallback", "fell back", "with fallback, test split only"], rows)


def without_encoder(setting: Setting, kind: str) -> Setting:
    return Setting() if kind == "tfidf" else setting


def interval(found: list[tuple[NDArray[np.intp], Floats]]) -> str:
    """Mean of the deals' mean gains in points, with a 95 % bootstrap interval over questions."""
    total: dict[int, float] = {}
    for rows, gain in found:
        for row, value in zip(rows.tolist(), gain.tolist(), strict=True):
            total[row] = total.get(row, 0.0) + value / (len(rows) * len(found))
    values = np.array(list(total.values())) * len(total)
    low, high = mean_interval(values)
    return f"{100 * values.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def fit(data: Data) -> None:
    """29 experts x 12,032 questions: the twelve real ones, and copies of theirs, shuffled among the questions."""
    from sklearn.linear_model import Ridge

    x = EMBEDDING.features(data.setting).transform([question.asked for question in data.questions])
    rng = np.random.default_rng(0)
    real = np.nan_to_num(data.scores)
    targets = np.hstack([real, *(rng.permutation(real) for _ in range(2))])[:, :29]
    examples = Examples((), (), targets)
    ours = seconds(lambda: RidgeHead().fit(x, examples))
    theirs = seconds(lambda: Ridge(alpha=30.0).fit(x.astype(np.float64), targets))
    print(f"## Fit of {targets.shape[1]} x {len(x)}, embeddings cached: ours / scikit-learn's ridge\n")
    markdown(["ours s", "scikit-learn s", "ratio"], [[f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}"]])


if __name__ == "__main__":
    main()
