"""The router of a running service, which is replaced when labels, pool or router move."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.routing.decider import Choice, Decider, current_decider
from benchcoe_jobs.services.routing.snapshot import take_snapshot
from benchcoe_jobs.services.serving.upstreams import Upstream, find_upstreams, vllm_command
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.session import Store

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

        Raises the errors of `current_decider`, `Decider.check` and `find_upstreams`, and UsageError, which shows the
        commands of vLLM, if an expert that the router may choose has no endpoint.
        """
        decider = current_decider(self.store, self.home, self.router, falls_back=self.falls_back)
        decider.check(self.budget)
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
        """Whether the store would give another decider, or other endpoints, than the loaded ones.

        Also if the snapshot is no longer stored: `remove batch` removes those that nothing names.
        """
        with self.store.reading() as connection:
            snapshot = take_snapshot(connection, since.router)
            upstreams = find_upstreams(connection, self.endpoints, snapshot.eligible)
            stored_id = snapshots.snapshot_id(connection, snapshot.fingerprint)
        return (stored_id, upstreams) != (since.snapshot_id, since.upstreams)


class LiveRouter:
    """A router that decides, and that is replaced when the store moves.

    `failure` is the reason of the last attempt to reload, if it failed: the router before it goes on.
    """

    def __init__(self, source: RouterSource, loaded: Loaded) -> None:
        self.loaded = loaded
        self.failure: str | None = None
        self._source = source

    def verdicts(self, questions: Sequence[RouterInput]) -> list[Verdict | Exception]:
        """The choice for each question, or why there is none: UsageError as `Decider.choose` raises it, or an error of
        a library that reads a picture."""
        return self._verdicts(self.loaded, questions)

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

    def _verdicts(self, loaded: Loaded, questions: Sequence[RouterInput]) -> list[Verdict | Exception]:
        try:
            estimates = loaded.decider.estimate(questions)
            choices = loaded.decider.explain(estimates, self._source.budget)
        except Exception as error:
            if len(questions) > 1:
                return [self._verdicts(loaded, [question])[0] for question in questions]
            return [error]
        names = loaded.decider.snapshot.eligible
        return [
            Verdict(loaded, choice, dict(zip(names, row.tolist(), strict=True)))
            for choice, row in zip(choices, estimates.scores, strict=True)
        ]


class LiveRouters:
    """The routers of a service, each with a name of its own; the first one also decides for `benchcoe/auto`."""

    def __init__(self, routers: Sequence[LiveRouter]) -> None:
        """Raises UsageError if another router than the first is named `auto`."""
        self.first = routers[0]
        self.all = tuple(routers)
        if any(live.loaded.router == "auto" for live in self.all[1:]):
            raise UsageError("benchcoe/auto is the first router: name the router 'auto' first, or leave it out")

    @property
    def by_name(self) -> dict[str, LiveRouter]:
        """The names that clients may ask for, and which router decides."""
        named = {f"benchcoe/{live.loaded.router}": live for live in self.all}
        return {"benchcoe/auto": self.first, **named, "auto": self.first}

    @property
    def upstreams(self) -> dict[str, Upstream]:
        """Expert name -> its endpoint, for all experts that have one."""
        return {name: upstream for live in self.all for name, upstream in live.loaded.upstreams.items()}

    @property
    def experts(self) -> list[str]:
        """The experts that a router may choose, by name."""
        return sorted({name for live in self.all for name in live.loaded.decider.snapshot.eligible})
