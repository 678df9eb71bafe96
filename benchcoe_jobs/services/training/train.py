"""Train a router on frozen labels, and give it a new expert without touching the others."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Connection

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import StoreError, UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import LearnedFeatures, TrainingContext, TrainingHistory
from benchcoe_jobs.routers.fallback import DEFAULT_MAX_FALLBACK, Calibration
from benchcoe_jobs.routers.model import RouterModel, new_trainer
from benchcoe_jobs.services.labelling.scope import best_single, find_scope, require_policy
from benchcoe_jobs.services.training.training_set import TrainingSet
from benchcoe_jobs.store.labels.label_sets import LabelSetRef, freeze
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.routing import routers, snapshots
from benchcoe_jobs.store.session import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_SCRATCH = ".scratch"
"""Beside a router's artifacts: the checkpoints of a training that is not over."""


Guard: TypeAlias = Callable[[Connection], object]
"""Called in a transaction before it changes anything; what it raises undoes the transaction."""


def _unguarded(connection: Connection) -> None:
    """For whoever works alone."""


def _uninterrupted() -> None:
    """For whoever is never told to stop."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training ended with: the names that the outputs stand for, and what it learned from.

    `calibration` is what its fallback rests on, None where it has none. `history` is how a training in epochs went,
    None where there are no epochs.
    """

    name: str
    level: str
    kind: str
    scope: Scope
    label_set: str
    n_queries: int
    outputs: tuple[str, ...]
    new_outputs: tuple[str, ...]
    calibration: Calibration | None
    history: TrainingHistory | None

    def as_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        return {
            "router": self.name,
            "level": self.level,
            "kind": self.kind,
            "pool": self.scope.pool.name,
            "benchmark": self.scope.benchmark,
            "split": self.scope.split,
            "label_set": self.label_set,
            "n": self.n_queries,
            "outputs": list(self.outputs),
            "new_outputs": list(self.new_outputs),
            "fallback": asdict(self.calibration) if self.calibration else None,
            "history": None if self.history is None else list(self.history),
        }


def train_router(
    store: Store,
    home: Path,
    name: str,
    *,
    level: Level,
    kind: str,
    head: str | None,
    pool: str,
    benchmark: str | None,
    split: str,
    encoder: str | None = None,
    revision: str | None = None,
    policy: Policy = Policy.BEST,
    max_fallback: float = DEFAULT_MAX_FALLBACK,
    guard: Guard = _unguarded,
    between: Callable[[], object] = _uninterrupted,
) -> Trained:
    """Freeze the labels of a scope, train a router on them and register it; an older one is replaced.

    At subject level the router goes by the labels of `policy`. With `max_fallback` 0 it has no fallback. `guard` is
    called in the transaction that registers it, and may refuse; `between` is called between the steps of a long
    training, which ends with what it raises, and goes on from its last checkpoint when it is asked for again. Raises
    UsageError where there is nothing to learn from, and for a policy at query level.
    """
    require_policy(level, policy)
    check_name(name)
    # Outside the transaction: a download must not hold the store.
    setting = TrainingContext(
        encoder, revision, routers.StoredVectors(store), checkpoints=home / "routers" / name / _SCRATCH, on_step=between
    )
    trainer = new_trainer(level, kind, head, setting)
    with store.writing() as connection:  # labels are frozen with what is learned from, or not at all
        scope = find_scope(connection, pool, benchmark, split)
        frozen = freeze(connection, level, scope, policy)
        best_single(connection, scope)
        training_set = TrainingSet.read(connection, scope, level)
        if len(training_set.outputs) < 2:
            what = "subject" if level is Level.SUBJECT else "eligible expert"
            raise UsageError(
                f"{scope.benchmark}, split {split}, has {len(training_set.outputs)} {what}: "
                "a router chooses between two or more"
            )
        validation = training_set.validation(connection) if trainer.learns_features else None
        _make_place(home, name)
    model = trainer.fit(
        training_set.outputs,
        training_set.examples,
        validation.examples if validation else None,
        scores=training_set.calibration_scores if max_fallback else None,
        validation_scores=validation.calibration_scores if validation else None,
        max_fallback=max_fallback,
    )
    return _register(
        store, home, name, model, scope, frozen, len(training_set.examples.questions), training_set.outputs, guard
    )


def check_name(name: str) -> None:
    """Raise UsageError where a router cannot be called so: the name is also that of a folder."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"router name {name!r}: use letters, digits, dots, dashes and underscores")


def extend_router(store: Store, home: Path, name: str, *, guard: Guard = _unguarded) -> Trained:
    """Give a query-level router a head for every eligible expert that joined its pool since.

    The heads that it has stay bit for bit as they are. Raises UsageError for a subject-level
    router, which reads new experts from the label view and needs no training.
    """
    with store.reading() as connection:
        router = routers.find_router(connection, name)
    if router.level != Level.QUERY:
        raise UsageError(f"router {name!r} is subject-level: it follows the label view, a new expert needs no training")
    model = artifact.load(home / router.artifact, cache=routers.StoredVectors(store))
    scope = router.scope
    with store.writing() as connection:
        frozen = freeze(connection, Level.QUERY, scope)
        training_set = TrainingSet.read(connection, scope, Level.QUERY)
    added = tuple(expert for expert in training_set.outputs if expert not in model.outputs)
    if added:
        columns = [training_set.outputs.index(expert) for expert in added]
        examples = replace(training_set.examples, targets=training_set.examples.targets[:, columns])
        model = model.extended(examples, added)
    return _register(store, home, name, model, scope, frozen, len(training_set.examples.questions), added, guard)


def _register(
    store: Store,
    home: Path,
    name: str,
    model: RouterModel,
    scope: Scope,
    frozen: LabelSetRef,
    n_queries: int,
    new_outputs: tuple[str, ...],
    guard: Guard,
) -> Trained:
    """Artifact first, row second: a crash between the two leaves an unused folder, never a torn router."""
    place = _make_place(home, name)
    staging = place / f".new-{os.getpid()}"
    try:
        fingerprint = artifact.save(model, staging)[:16]
        if (place / fingerprint).exists():  # the same router, or its damaged remains
            (place / fingerprint).rename(place / f".old-{os.getpid()}")
        staging.rename(place / fingerprint)
    except OSError as error:
        raise _not_written(place, error) from error
    artifact_name = f"routers/{name}/{fingerprint}"
    with store.writing() as connection:
        guard(connection)
        routers.save_router(
            connection,
            name,
            level=model.level.value,
            kind=model.kind,
            scope=scope,
            labels=frozen,
            artifact=artifact_name,
            n_queries=n_queries,
        )
        # After save_router, which waits for each transaction that opens a job for the earlier artifact.
        in_use = {artifact_name, *snapshots.artifacts_of_open_jobs(connection)}
    for folder in place.iterdir():
        if f"routers/{name}/{folder.name}" not in in_use:
            shutil.rmtree(folder, ignore_errors=True)
    return Trained(
        name,
        model.level.value,
        model.kind,
        scope,
        frozen.fingerprint,
        n_queries,
        model.outputs,
        new_outputs,
        model.fallback.calibration if model.fallback else None,
        model.features.history if isinstance(model.features, LearnedFeatures) else None,
    )


def _make_place(home: Path, name: str) -> Path:
    """The folder of a router's artifacts; made before the training, which would else be lost without it."""
    place = home / "routers" / name
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(place, error) from error
    return place


def _not_written(place: Path, error: OSError) -> StoreError:
    return StoreError(f"the router cannot be written to {place}: {error.strerror or error}")
