"""The end of a training: its artifact, its row, and the removal of artifacts that nothing uses any more.

Artifacts are written beside each other, under their fingerprints. Trainings of one name may run at the same time: an
artifact is put in its place in the transaction that writes the row, under a lock of the name, so the removal never
meets one that is about to be named. A home folder may serve several stores: only what this store has named is removed.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Connection

from benchcoe_jobs.errors import BenchcoeError, InputError, StoreError
from benchcoe_jobs.files import private_folder
from benchcoe_jobs.routers import artifact
from benchcoe_jobs.routers.model import RouterModel
from benchcoe_jobs.services.training.checkpoints import ABANDONED_S
from benchcoe_jobs.store.labels.label_sets import LabelSetRef
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.routing import routers, snapshots
from benchcoe_jobs.store.session import Store

_STAGED = ".new-"

Guard: TypeAlias = Callable[[Connection], object]
"""Called in a transaction before it changes anything; an exception rolls the transaction back."""


def unguarded(connection: Connection) -> None:
    """The guard of a training that is not a job: it never refuses."""


def register(
    store: Store,
    home: Path,
    name: str,
    model: RouterModel,
    scope: Scope,
    frozen: LabelSetRef,
    n_queries: int,
    auto_weight: float | None,
    guard: Guard,
) -> None:
    """Write the artifact of a router and its row; then remove earlier artifacts.

    Those that the row or the snapshot of an open job names are kept until a later training of the same router. Raises
    StoreError if the folder cannot be written, and what `guard` raises.
    """
    folder = make_folder(home, name)
    staged = folder / f"{_STAGED}{uuid.uuid4().hex}"
    try:
        fingerprint = artifact.save(model, staged)
        with store.writing() as connection:
            routers.lock_name(connection, name)
            guard(connection)
            replaced = routers.current_artifact(connection, name)
            artifact.place(staged, folder / fingerprint)
            routers.save_router(
                connection,
                name,
                level=model.level.value,
                kind=model.kind,
                scope=scope,
                labels=frozen,
                artifact=f"routers/{name}/{fingerprint}",
                n_queries=n_queries,
                auto_weight=auto_weight,
            )
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    with suppress(BenchcoeError):  # the router is registered; a later training removes what was left
        remove_unused(store, home, name, replaced)


def make_folder(home: Path, name: str) -> Path:
    """The folder of a router's artifacts. It is made before a training, whose result would be lost without it."""
    folder = home / "routers" / name
    try:
        private_folder(folder)
    except InputError as error:
        raise _not_written(folder, error.__cause__ or error) from error
    return folder


def remove_unused(store: Store, home: Path, name: str, replaced: str | None = None) -> None:
    """Remove the artifacts that a router has no more, except those that the snapshot of an open job names.

    `replaced` is one that it has just lost; the others are found by the rows that name them.
    """
    with store.writing() as connection:
        routers.lock_name(connection, name)
        used = {routers.current_artifact(connection, name), *snapshots.artifacts_of_open_jobs(connection)}
        earlier = routers.earlier_artifacts(connection, name) | ({replaced} if replaced else set())
        for unused in earlier - used:
            if is_artifact_of(name, unused):
                shutil.rmtree(home / unused, ignore_errors=True)
    for staged in (home / "routers" / name).glob(".*-*"):  # of trainings that were killed while they wrote
        with suppress(OSError):
            if time.time() - staged.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(staged, ignore_errors=True)


def is_artifact_of(name: str, artifact: str) -> bool:
    """Whether the name of an artifact is that of a folder which a training of this router made."""
    return re.fullmatch(rf"routers/{re.escape(name)}/[0-9a-f]+", artifact) is not None


def _not_written(folder: Path, error: BaseException) -> StoreError:
    return StoreError(f"the router cannot be written to {folder}: {getattr(error, 'strerror', None) or error}")
