"""The router of a running service: it decides in a thread, and is replaced when labels, pool or router move."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import sklearn

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Choice, Decider, current_decider
from benchcoe_jobs.services.routing.snapshot import take_snapshot
from benchcoe_jobs.services.serving.upstreams import Upstream, find_upstreams, vllm_command
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.session import Store

_MOST_TOGETHER = 64
"""Questions that a router reads in one call."""

_FIRST_PORT = 8000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A router with the snapshot that it decides by, and the endpoint of each expert that has one."""

    decider: Decider
    snapshot_id: int
    upstreams: Mapping[str, Upstream]
    loaded_at: float = field(default_factory=time.time, compare=False)

    @property
    def router(self) -> str:
        """The name of the router."""
        return self.decider.snapshot.router.name


class Verdict(NamedTuple):
    """A choice, by which router it was made, and the expected score of each expert that it could have chosen."""

    loaded: Loaded
    choice: Choice
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class RouterSource:
    """Where a service finds its router, and how it decides. `endpoints` is the content of the file of --endpoints."""

    store: Store
    home: Path
    router: str | None
    endpoints: Mapping[str, Any]
    budget: Budget
    falls_back: bool = True

    def load(self) -> Loaded:
        """Load the router as it is now, and store its snapshot.

        Raises the errors of `current_decider`, `Decider.settled` and `find_upstreams`, and UsageError, which shows the
        commands of vLLM, if an expert that the router may choose has no endpoint.
        """
        decider = current_decider(self.store, self.home, self.router, falls_back=self.falls_back)
        decider.settled(self.budget)
        snapshot = decider.snapshot
        with self.store.writing() as connection:
            upstreams = find_upstreams(connection, self.endpoints, snapshot.eligible)
            missing = [name for name in snapshot.eligible if name not in upstreams]
            rows = [experts.read_expert(connection, name)[1] for name in missing]
            snapshots.store_snapshot(connection, snapshot.router, snapshot.fingerprint, snapshot.as_json())
            snapshot_id = snapshots.snapshot_id(connection, snapshot.fingerprint)
        assert snapshot_id is not None  # noqa: S101  (it was stored)
        if rows:
            commands = "; ".join(vllm_command(row, port) for port, row in enumerate(rows, _FIRST_PORT))
            raise UsageError(
                f"router {snapshot.router.name!r} may choose {', '.join(missing)}, of which no address is known: start "
                f"an endpoint of each ({commands}) and name it in a TOML file for --endpoints, or in add-expert"
            )
        return Loaded(decider, snapshot_id, upstreams)

    def has_moved(self, since: Loaded) -> bool:
        """Whether the store would give another decider, or other endpoints, than the loaded ones."""
        with self.store.reading() as connection:
            snapshot = take_snapshot(connection, since.router)
            upstreams = find_upstreams(connection, self.endpoints, snapshot.eligible)
        return (snapshot.fingerprint, upstreams) != (since.decider.snapshot.fingerprint, since.upstreams)


class LiveRouter:
    """Decides one batch after the other, in one thread. Questions that arrive meanwhile are the next batch.

    `failure` is the reason of the last attempt to reload, if it failed: the router before it goes on.
    """

    def __init__(self, source: RouterSource, loaded: Loaded) -> None:
        self.loaded = loaded
        self.failure: str | None = None
        self._source = source
        self._waiting: list[tuple[RouterInput, asyncio.Future[Verdict]]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="router")
        self._deciding: asyncio.Task[None] | None = None

    async def decide(self, question: RouterInput) -> Verdict:
        """The choice for a question. Raises UsageError as `Decider.choose` does."""
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._deciding is None or self._deciding.done():
            self._deciding = asyncio.create_task(self._decide_all())
        return await future

    async def reload(self) -> bool:
        """Load the router anew if it has moved. Returns whether it did; a failure is kept in `failure`, and logged."""
        try:
            moved = await asyncio.to_thread(self._source.has_moved, self.loaded)
            if moved:
                self.loaded = await asyncio.to_thread(self._source.load)
        except BenchcoeError as error:
            if str(error) != self.failure:
                _log.warning("the router stays as it is, because it could not be loaded anew: %s", error)
            self.failure = str(error)
            return False
        self.failure = None
        return moved

    async def close(self) -> None:
        """Wait for the open batch, and end the thread."""
        if self._deciding is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._deciding
        self._thread.shutdown()

    async def _decide_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
            questions = [question for question, _ in batch]
            found = await loop.run_in_executor(self._thread, self._decided, self.loaded, questions)
            for (_, future), decided in zip(batch, found, strict=True):
                if future.done():  # its client has left
                    continue
                if isinstance(decided, Exception):
                    future.set_exception(decided)
                else:
                    future.set_result(decided)

    def _decided(self, loaded: Loaded, questions: Sequence[RouterInput]) -> list[Verdict | Exception]:
        try:
            # Checks of scikit-learn of its own arguments take half of the time of a decision by tfidf.
            with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
                estimates = loaded.decider.estimate(questions)
            choices = loaded.decider.explain(estimates, self._source.budget)
        except Exception as error:  # of a question, or of a library that reads its picture
            if len(questions) > 1:
                return [self._decided(loaded, [question])[0] for question in questions]
            return [error]
        names = loaded.decider.snapshot.eligible
        return [
            Verdict(loaded, choice, {name: float(score) for name, score in zip(names, row, strict=True)})
            for choice, row in zip(choices, estimates.scores, strict=True)
        ]
