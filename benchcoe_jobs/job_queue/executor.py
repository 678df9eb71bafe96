"""The executor: claim a shard, run it, store how it ended. Foreground commands and workers use the same one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from benchcoe_jobs.characters import one_line
from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.errors import AccessDeniedError, EndpointDownError, ModelNotFoundError
from benchcoe_jobs.errors import BenchcoeError, MissingError, StoreBusyError, StoreUnavailableError, UsageError
from benchcoe_jobs.job_queue import process_identity
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.job_queue.lease import Heartbeat, Lease, StoppedError, retry_until_available
from benchcoe_jobs.job_queue.lifecycle import kind_of, settle
from benchcoe_jobs.masking import masked
from benchcoe_jobs.store.job_queue import claims, jobs, leases, transitions, workers
from benchcoe_jobs.store.job_queue.leases import Claim, JobCancelledError, LostLeaseError, Tally
from benchcoe_jobs.store.job_queue.turns import LoadedExpert
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

log = logging.getLogger(__name__)

# Every other shard of the group would fail for the same reason, on any worker.
_HOPELESS = (ModelNotFoundError, AccessDeniedError, EndpointDownError, MissingError, UsageError)

# These say nothing about the shard, although one of them is a MissingError.
_NO_STORE = (StoreUnavailableError, StoreBusyError)


class Executor:
    """Runs shards one after the other and keeps the expert of the last one loaded. Not thread-safe.

    `worker` is the name under which this process is listed. `gpus` are the GPUs that it may use; None leaves the
    choice to the environment and claims shards that need any number. `stopping` is called between micro-batches.
    """

    def __init__(
        self,
        store: Store,
        home: Path,
        *,
        lease_s: float,
        worker: str | None = None,
        gpus: Sequence[str] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        progress: Callable[[Tally], None] = lambda step: None,
    ) -> None:
        self._store = store
        self._home = home
        self._lease_s = lease_s
        self._worker = worker
        self._gpus = gpus
        self._stopping = stopping
        self._progress = progress
        self._signature = process_identity.signature()
        self._heartbeat = Heartbeat()
        self._host: EngineClient | None = None
        self._loaded: tuple[int, float] | None = None  # the expert, and when it was loaded

    def run_next(self, queues: Sequence[str], *, job_ids: Collection[int] | None = None, for_s: float = 0.0) -> bool:
        """Claim the best waiting shard of some queues and run it. Returns False if no shard waits.

        For `for_s` seconds it continues with other shards of the same group. Results and failures are written to the
        store. Raises only what ends this process (a signal), or a StoreError if the store cannot be written.
        """
        until = time.monotonic() + for_s
        claim = retry_until_available(lambda: self._claim(queues, job_ids), self._stopping)
        if claim is None:
            return False
        while claim is not None:
            claim = self._run(claim, until)
        return True

    def _run(self, claim: Claim, until: float) -> Claim | None:
        """Run a shard. Returns the next one, already claimed, if there is one and time is left."""
        began = time.monotonic()

        def report(outcome: str, level: int = logging.INFO) -> None:
            what = ", ".join([claim.kind, *([f"expert {claim.expert}"] if claim.expert else [])])
            seconds = time.monotonic() - began
            log.log(level, "shard %d of job %d (%s), %.1f s: %s", claim.shard_id, claim.job_id, what, seconds, outcome)

        try:
            with Lease(
                self._store,
                claim,
                lease_s=self._lease_s,
                heartbeat=self._heartbeat,
                stopping=self._stopping,
                progress=self._progress,
            ) as lease:
                kind_of(claim.kind).run(
                    Assignment(self._store, self._home, claim, lease, self._engine_host, self.unload)
                )
            errors = (lease.tally - claim.tally).errors
            report(f"done, with {counted(errors, 'error row')}" if errors else "done")
            return self._done(claim, continues=time.monotonic() < until and not self._stopping())
        except LostLeaseError as lost:
            report(f"lost: {lost}", logging.WARNING)
        except JobCancelledError:
            report("cancelled")
            self._end(claim, ShardState.CANCELLED)
        except StoppedError as error:
            report(f"given back: {error}")
            self._give_back(claim)
        except Exception as error:
            self._fail_for(claim, error, report)
        except BaseException:  # Ctrl-C
            try:  # the engine first: giving back the shard may have to wait for a lock
                if self._host is not None:
                    self._host.close()
            finally:
                self._give_back(claim)
            raise
        return None

    def unload(self) -> None:
        """End the engine of the loaded expert, if there is one."""
        if self._host is not None:
            self._host.close()
            self._host = None
            self._note_resident(None)

    def _claim(self, queues: Sequence[str], job_ids: Collection[int] | None) -> Claim | None:
        with self._store.writing() as connection:
            return claims.claim(
                connection,
                self._signature,
                queues,
                lease_s=self._lease_s,
                loaded=self._loaded_expert(),
                gpus=_ANY_NUMBER if self._gpus is None else len(self._gpus),
                job_ids=job_ids,
            )

    def _loaded_expert(self) -> LoadedExpert | None:
        if self._host is None or self._loaded is None:
            return None
        expert_id, loaded_at = self._loaded
        return LoadedExpert(expert_id, time.monotonic() - loaded_at, self._host.load_s)

    def _engine_host(self, expert_id: int, settings: ExpertSettings) -> EngineClient:
        if self._host is None or self._host.settings != settings:
            self.unload()
            self._host = EngineClient(settings, gpus=None if self._gpus is None else ",".join(self._gpus))
            self._note_resident(expert_id)
        return self._host

    def _note_resident(self, expert_id: int | None) -> None:
        self._loaded = None if expert_id is None else (expert_id, time.monotonic())
        if self._worker is not None:
            retry_until_available(partial(self._store_resident, self._worker, expert_id), self._stopping)

    def _store_resident(self, worker: str, expert_id: int | None) -> None:
        with self._store.writing() as connection:
            workers.note_resident(connection, worker, expert_id)

    def _done(self, claim: Claim, *, continues: bool) -> Claim | None:
        if not continues:
            self._end(claim, ShardState.DONE)
            return None
        following: Claim | None = None

        def write(connection: Connection) -> bool:
            nonlocal following
            following, group_is_over = claims.finish_and_claim(connection, claim, lease_s=self._lease_s)
            return group_is_over

        self._write(claim, write)
        return following

    def _end(self, claim: Claim, state: ShardState) -> None:
        self._write(claim, lambda connection: leases.finish(connection, claim, state))

    def _give_back(self, claim: Claim) -> None:
        self._write(claim, lambda connection: leases.give_back(connection, claim))

    def _fail_for(self, claim: Claim, error: Exception, report: Callable[[str, int], None]) -> None:
        reason, exit_code = str(error), BenchcoeError.exit_code
        hopeless = isinstance(error, _HOPELESS) and not isinstance(error, _NO_STORE)
        if isinstance(error, BenchcoeError):
            exit_code = error.exit_code
        else:  # a bug in this program or in a library
            log.exception("shard %d of job %d", claim.shard_id, claim.job_id)
            reason = f"unexpected {type(error).__name__}: {error}"
        reason = one_line(masked(reason))  # it is stored
        is_last = self._fail(claim, reason, exit_code, hopeless=hopeless)
        outcome = "failed" if is_last else "given back for another attempt"
        # A command in the foreground reports the failure of its job itself.
        report(f"{outcome}: {reason}", logging.INFO if self._worker is None else logging.WARNING)

    def _fail(self, claim: Claim, error: str, exit_code: int, *, hopeless: bool) -> bool:
        """Give the shard back for another attempt, unless the error is hopeless or this was the last attempt.

        Returns whether the shard has failed.
        """
        is_last = hopeless

        def write(connection: Connection) -> bool:
            nonlocal is_last
            is_last = hopeless or leases.is_last_attempt(connection, claim)
            if hopeless:
                leases.hold(connection, claim)
                transitions.fail_group(connection, claim.shard_group_id, error)
            if is_last:
                group_is_over = leases.finish(connection, claim, ShardState.FAILED, error)
                jobs.note_error(connection, claim.job_id, error, exit_code)
            else:
                group_is_over = leases.give_back(connection, claim, error)
            return group_is_over or hopeless

        self._write(claim, write)
        return is_last

    def _write(self, claim: Claim, write: Callable[[Connection], bool]) -> None:
        """Write and settle the job in one transaction; `write` returns whether the shard's group is over."""

        def attempt() -> None:
            with self._store.writing() as connection:
                if write(connection):
                    settle(connection, claim.job_id)

        try:
            retry_until_available(attempt, self._stopping)
        except LostLeaseError as lost:
            log.warning("%s", lost)


_ANY_NUMBER = 1 << 20
