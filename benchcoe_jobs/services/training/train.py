"""Train a router on frozen labels, and extend it by an expert without changing the other heads."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.base import LearnedFeatures, TrainingContext, TrainingHistory
from benchcoe_jobs.routers.cascades.head import CascadeHead
from benchcoe_jobs.routers.fallback import DEFAULT_MAX_FALLBACK, Calibration
from benchcoe_jobs.routers.model import RouterModel, new_trainer
from benchcoe_jobs.routers.traits import asks_in_stages
from benchcoe_jobs.services.labelling.scope import find_scope, require_policy
from benchcoe_jobs.services.routing.snapshot import snapshot_for
from benchcoe_jobs.services.training.auto_weight import AutoWeight, auto_weight, has_costs
from benchcoe_jobs.services.training.checkpoints import checkpoints
from benchcoe_jobs.services.training.registration import Guard, make_folder, register, unguarded
from benchcoe_jobs.services.training.training_set import TrainingSet
from benchcoe_jobs.store.labels.label_sets import LabelSetRef, freeze
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.routing import routers
from benchcoe_jobs.store.routing.routers import TrainedRouter
from benchcoe_jobs.store.session import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _uninterrupted() -> None:
    """The `on_step` of a training that is never stopped."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a training: the names of the outputs, and the data that they were learned from.

    `calibration` is that of the fallback, None without a fallback. `history` has the epochs of the training, None if it
    has no epochs. `auto_weight` is what `--quality-weight auto` stands for, None if it cannot be chosen. `cascade` has
    the chains of a cascade, the number of queries that it was learned from, and the kind of its text features; None for
    other kinds.
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
    auto_weight: AutoWeight | None
    cascade: dict[str, Any] | None

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
            "auto_weight": asdict(self.auto_weight) if self.auto_weight else None,
            "cascade": self.cascade,
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
    image_encoder: str | None = None,
    policy: Policy = Policy.BEST,
    max_fallback: float = DEFAULT_MAX_FALLBACK,
    guard: Guard = unguarded,
    on_step: Callable[[], object] = _uninterrupted,
) -> Trained:
    """Freeze the labels of a scope, train a router on them and register it; a router of the same name is replaced.

    At subject level the router uses the labels of `policy`. With `max_fallback` 0 it has no fallback. `guard` is
    called in the transaction that registers the router, and may refuse by an exception. `on_step` is called between the
    steps of a long training; an exception from it ends the training, which resumes from its last checkpoint when it is
    started again. Raises UsageError if there is nothing to learn from, and for a policy at query level.
    """
    require_policy(level, policy)
    require_router_name(name)
    # Outside the transaction, because a download must not lock the store.
    context = TrainingContext(encoder, revision, image_encoder, cache=routers.StoredVectors(store), on_step=on_step)
    trainer = new_trainer(level, kind, head, context)
    in_stages = asks_in_stages(kind)
    with store.writing() as connection:  # labels are frozen together with the scores to learn from
        scope = find_scope(connection, pool, benchmark, split)
        frozen = freeze(connection, level, scope, policy)
        snapshot = snapshot_for(connection, TrainedRouter(0, name, level, kind, "", scope, "", policy, 0))
        training_set = TrainingSet.read(connection, scope, level)
        if in_stages:
            training_set = training_set.with_answers(connection)
        if len(training_set.outputs) < 2:
            what = "subject" if level is Level.SUBJECT else "eligible expert"
            raise UsageError(
                f"{scope.benchmark}, split {split}, has {len(training_set.outputs)} {what}: "
                "a router chooses between two or more"
            )
        validation = training_set.validation(connection) if trainer.learns_features else None
        make_folder(home, name)
    n_queries = len(training_set.examples.questions)
    settings = [level, kind, head, pool, benchmark, split, encoder, revision, image_encoder, policy]
    with checkpoints(home, name, settings) as folder:
        trainer = replace(trainer, context=replace(context, checkpoints=folder))
        model = trainer.fit(
            training_set.outputs,
            training_set.examples,
            validation.examples if validation else None,
            scores=training_set.calibration_scores if (max_fallback or has_costs(snapshot)) and not in_stages else None,
            validation_scores=validation.calibration_scores if validation else None,
            max_fallback=max_fallback,
        )
        weight = auto_weight(snapshot, model, validation or training_set)
        register(store, home, name, model, scope, frozen, n_queries, weight.weight if weight else None, guard)
    return _trained(name, model, scope, frozen, n_queries, training_set.outputs, weight)


def require_router_name(name: str) -> None:
    """Raise UsageError if the name is not allowed for a router: it is also the name of a folder."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"router name {name!r}: use letters, digits, dots, dashes and underscores")


def extend_router(store: Store, home: Path, name: str, *, guard: Guard = unguarded) -> Trained:
    """Add a head to a query-level router for each eligible expert that joined its pool after it was trained.

    The other heads do not change by a bit. If another training replaces the router meanwhile, the new one is extended.
    Raises UsageError for a subject-level router, which reads new experts from the label view and needs no training.
    """
    while True:
        with store.reading() as connection:
            router = routers.find_router(connection, name)
        if router.level != Level.QUERY:
            raise UsageError(
                f"router {name!r} is subject-level: it reads the label view, so a new expert needs no training"
            )
        if asks_in_stages(router.kind):
            raise UsageError(
                f"router {name!r} is a {router.kind}: a new expert may change the order in which all are asked: "
                "train it again with `benchcoe-jobs train-router`"
            )
        try:
            return _extended(store, home, router, guard)
        except routers.ReplacedError:
            continue


def _extended(store: Store, home: Path, router: TrainedRouter, guard: Guard) -> Trained:
    try:
        model = artifact.load(home / router.artifact, router.fingerprint, cache=routers.StoredVectors(store))
    except InputError:
        with store.reading() as connection:
            routers.require_unchanged(connection, router)
        raise
    scope = router.scope
    with store.writing() as connection:
        frozen = freeze(connection, Level.QUERY, scope)
        training_set = TrainingSet.read(connection, scope, Level.QUERY)
    added = tuple(expert for expert in training_set.outputs if expert not in model.outputs)
    if added:
        columns = [training_set.outputs.index(expert) for expert in added]
        examples = replace(training_set.examples, targets=training_set.examples.targets[:, columns])
        model = model.extended(examples, added)

    def is_current(connection: Connection) -> None:
        guard(connection)
        routers.require_unchanged(connection, router)

    n_queries = len(training_set.examples.questions)
    register(store, home, router.name, model, scope, frozen, n_queries, router.auto_weight, is_current)
    return _trained(router.name, model, scope, frozen, n_queries, added)


def _trained(
    name: str,
    model: RouterModel,
    scope: Scope,
    frozen: LabelSetRef,
    n_queries: int,
    new_outputs: tuple[str, ...],
    weight: AutoWeight | None = None,
) -> Trained:
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
        weight,
        _cascade(model),
    )


def _cascade(model: RouterModel) -> dict[str, Any] | None:
    if not isinstance(model.head, CascadeHead):
        return None
    chains = model.head.cascade.chains
    return {
        "chains": [[model.outputs[column] for column in chain.columns] for chain in chains],
        "n": model.head.n_learned,
        "reads": model.features.config()["text"],
    }
