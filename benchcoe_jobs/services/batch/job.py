"""The job `batch`: the prompts of a submitted file, each routed to one expert and answered by it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Connection

from benchcoe_jobs.domain import Completion, Decoding, JobState, Queue, Request
from benchcoe_jobs.engines.engine_client import MicroBatch
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.job_queue.job_kind import Assignment, Needs
from benchcoe_jobs.job_queue.lifecycle import new_submission, resume, submit, sweep
from benchcoe_jobs.services.batch.openai_format import (
    SubmittedLine,
    engine_request,
    image_urls,
    read_lines,
    router_input,
    sent_on_only,
)
from benchcoe_jobs.services.inference import stream
from benchcoe_jobs.services.inference.expert_settings import settings_of
from benchcoe_jobs.services.inference.placement import engine_traits, placement
from benchcoe_jobs.services.inference.shards import micro_batches, shard_size
from benchcoe_jobs.services.routing.assignment import exceeds
from benchcoe_jobs.services.routing.decider import decider, require_one_stage
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, keep_snapshot, snapshot_of
from benchcoe_jobs.store.job_queue import batch_lines, jobs, workers
from benchcoe_jobs.store.job_queue.batch_lines import Line, LineResult
from benchcoe_jobs.store.job_queue.jobs import JobRow, NewShardGroup
from benchcoe_jobs.store.job_queue.leases import Claim, Tally
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

_ROUTED_AT_ONCE = 2000
"""Lines of a shard that routes."""

_FAULTS_SHOWN = 20


def submit_file(
    store: Store, path: Path, router: str | None, *, priority: int = 0, budget: float | None = None
) -> tuple[int, bool]:
    """Submit a file of requests; return the job's id, and whether the job is new.

    With a `budget`, the lines are assigned together so that their expected costs add up to at most that.

    The whole file is validated first. The same file for the same routing snapshot is the same job, also after it
    ended: if it failed, was cancelled or has failed lines, it continues with these. Raises InputError for the file,
    UsageError for the router, and for a job that is being cancelled.
    """
    lines = read_lines(path)
    sweep(store)  # completes a cancel whose worker was killed
    content = hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()
    with store.writing() as connection:
        snapshot = keep_snapshot(connection, router)
        require_one_stage(snapshot.router)
        request = {
            "router": snapshot.router.name,
            "snapshot": snapshot.fingerprint,
            "content": content,
            "lines": len(lines),
        }
        if budget is not None:
            request["budget"] = budget
            _require_budget(snapshot, len(lines), budget)
        _require_honoured(connection, path, lines, snapshot)
        _require_sight(path, lines, snapshot)
        earlier = jobs.newest_job(connection, "batch", request)
        if earlier is not None and earlier.state is not JobState.DONE:
            if not earlier.is_open or earlier.cancelled_at is not None:
                resume(connection, earlier)
            earlier = jobs.read_job(connection, earlier.id)
        if earlier is not None and not earlier.is_open:
            return earlier.id, False
        # If the job is open already, this may raise its priority.
        job_id, is_new = submit(connection, "batch", request, submission=new_submission(priority=priority, file=path))
        if is_new:
            batch_lines.add_lines(connection, job_id, lines)
            # Not a part of the fingerprint: the same file is the same job.
            jobs.amend_request(connection, job_id, {"seed": secrets.randbits(_SEED_BITS)})
        return job_id, is_new


def _require_budget(snapshot: RoutingSnapshot, n_lines: int, budget: float) -> None:
    """Raise UsageError if the cost of an expert is unknown, or the cheapest expert is too dear for a file."""
    least = n_lines * min(snapshot.known_costs())
    if exceeds(least, budget):
        raise UsageError(
            f"a budget of {budget:.13g} is too small: {n_lines} lines are expected to cost {least:.13g} with the "
            "cheapest expert"
        )


def _require_honoured(
    connection: Connection, path: Path, lines: Sequence[SubmittedLine], snapshot: RoutingSnapshot
) -> None:
    """Raise InputError for lines with what an expert that the router may choose has no place for."""
    places = {line.number: place for line in lines if (place := sent_on_only(line.body)) is not None}
    if not places:
        return
    for name in snapshot.eligible:
        _, expert = experts.read_expert(connection, name)
        if expert.can_answer and not engine_traits(expert.engine).sends_messages:
            shown = [f"line {number}: {place}" for number, place in [*places.items()][:_FAULTS_SHOWN]]
            more = f"; and {len(places) - _FAULTS_SHOWN} more lines" if len(places) > _FAULTS_SHOWN else ""
            raise InputError(
                f"{path}: engine {expert.engine} has no place for this, and router {snapshot.router.name!r} may choose "
                f"its expert {name!r}: {'; '.join(shown)}{more}"
            )


def _require_sight(path: Path, lines: Sequence[SubmittedLine], snapshot: RoutingSnapshot) -> None:
    """Raise InputError if lines have pictures and no expert that the router may choose can see."""
    if not set(snapshot.eligible) <= set(snapshot.blind):
        return
    with_pictures = [str(line.number) for line in lines if image_urls(line.body)]
    if with_pictures:
        shown = ", ".join(with_pictures[:_FAULTS_SHOWN]) + ", ..." * (len(with_pictures) > _FAULTS_SHOWN)
        raise InputError(
            f"{path}: line {shown}: there are pictures, and no expert that router {snapshot.router.name!r} may choose "
            "can see: name a router on a pool with one that can with --router"
        )


class BatchJob:
    """See `job_queue.job_kind.JobKind`: the first stage routes the lines, the second asks each expert its lines."""

    n_stages = 2

    def needs(self, request: Mapping[str, Any]) -> Needs:
        """Every expert, because the router may choose it, and the router."""
        return Needs(experts=None, routers=frozenset({request["router"]}))

    def plan(self, connection: Connection, job: JobRow) -> Sequence[NewShardGroup]:
        """Raises UsageError if the router may choose an expert without an engine."""
        if job.stage == 0:
            _require_engines(connection, snapshot_of(connection, job.request, "submit"))
            n = job.request["lines"]
            at_once = _ROUTED_AT_ONCE if job.request.get("budget") is None else max(n, 1)
            starts = range(0, n, at_once)
            return [NewShardGroup(Queue.CPU, [({"from": at, "to": min(at + at_once, n)}, 0) for at in starts])]
        return [
            _shard_group(connection, expert_id, numbers)
            for expert_id, numbers in batch_lines.by_expert(connection, job.id).items()
        ]

    def run(self, assignment: Assignment) -> None:
        """Route a part of the file, or ask an expert some lines."""
        if assignment.claim.stage == 0:
            _route(assignment)
        else:
            _ask(assignment)

    def report(self, connection: Connection, job: JobRow) -> Mapping[str, Any]:
        """Lines, answers, errors and tokens by expert; the budget with the expected cost and score, if there is one."""
        budget = {name: job.request.get(name) for name in ("budget", "expected_cost", "expected_score")}
        if budget["budget"] is None:
            budget = {}
        return {"router": job.request["router"], "experts": batch_lines.counts(connection, job.id), **budget}

    def follow_ups(self, connection: Connection, job: JobRow) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """No job follows."""
        return []


def _require_engines(connection: Connection, snapshot: RoutingSnapshot) -> None:
    names = snapshot.eligible
    recorded = [name for name in names if not experts.read_expert(connection, name)[1].can_answer]
    if recorded:
        raise UsageError(
            f"router {snapshot.router.name!r} may choose {', '.join(recorded)}, which has imported results and no "
            "engine to answer with: train a router on a pool of experts with engines (`benchcoe-jobs train-router`)"
        )


def _shard_group(connection: Connection, expert_id: int, numbers: Sequence[int]) -> NewShardGroup:
    expert = experts.read_expert_by_id(connection, expert_id)
    queue, gpus = placement(settings_of(expert))
    size = shard_size(expert.engine, None, len(numbers), workers.n_serving(connection, queue))
    pieces = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return NewShardGroup(queue, [({"lines": piece}, len(piece)) for piece in pieces], expert_id=expert_id, gpus=gpus)


def _route(assignment: Assignment) -> None:
    claim, store = assignment.claim, assignment.store
    with store.reading() as connection:
        snapshot = snapshot_of(connection, claim.request, "submit")
        numbers = batch_lines.numbers(connection, claim.job_id)[claim.work["from"] : claim.work["to"]]
        lines = list(batch_lines.lines(connection, claim.job_id, numbers))
    inputs = [router_input(line.url, line.body) for line in lines]
    chooser, budget = decider(store, assignment.home, snapshot), claim.request.get("budget")
    expected: dict[str, float] = {}
    if budget is None:
        choices = chooser.choose(inputs)
    else:
        choices, totals = chooser.assign(inputs, budget)
        expected = {"expected_cost": totals.cost, "expected_score": totals.score}
    chosen = [
        (line.line, snapshot.members[choice.expert], choice.why) for line, choice in zip(lines, choices, strict=True)
    ]

    def write(connection: Connection) -> Tally:
        batch_lines.set_experts(connection, claim.job_id, chosen)
        jobs.amend_request(connection, claim.job_id, expected)
        return Tally()

    assignment.lease.commit(write)


def _ask(assignment: Assignment) -> None:
    claim, lease = assignment.claim, assignment.lease
    assert claim.expert_id is not None  # noqa: S101  (the shard group has one)
    with assignment.store.reading() as connection:
        settings = settings_of(experts.read_expert_by_id(connection, claim.expert_id))
        lines = list(batch_lines.lines(connection, claim.job_id, claim.work["lines"]))
    retries_errors = bool(claim.request.get("retry_errors"))
    is_open = [line.text is None and (line.error is None or retries_errors) for line in lines]
    recorded = Tally(
        answered=sum(line.text is not None for line in lines),
        errors=sum(line.error is not None and not asks for line, asks in zip(lines, is_open, strict=True)),
    )
    client = assignment.engine_of(claim.expert_id, settings)
    loads = client.loads
    if any(is_open):
        client.load()
    lease.commit(lambda connection: recorded - lease.tally, loads=client.loads - loads)
    requests = [
        (line, *engine_request(line.url, line.body, _seed(claim, line)))
        for line, asks in zip(lines, is_open, strict=True)
        if asks
    ]
    batches = _micro_batches(requests, settings.engine)
    with closing(stream.completions(client, lease, batches, _batch)) as under_way:
        for batch, completions, seconds in under_way:
            _commit(assignment, [line for line, *_ in batch], completions, seconds)


_SEED_BITS = 63


def _seed(claim: Claim, line: Line) -> int:
    """The seed of a line that names none: it differs from line to line, and is the same each time the line is asked.

    A job that an earlier release submitted has no seed; its id stands in for it.
    """
    content = f"{claim.request.get('seed', claim.job_id)}:{line.line}"
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8]) >> (64 - _SEED_BITS)


_LineRequest: TypeAlias = tuple[Line, Request, Decoding]


def _micro_batches(requests: Sequence[_LineRequest], engine: str) -> list[list[_LineRequest]]:
    """The requests in micro-batches, each of one decoding."""
    ordered = sorted(requests, key=lambda one: (repr(one[2]), one[0].line))
    of_decodings = groupby(ordered, key=lambda one: one[2])
    return [batch for _, group in of_decodings for batch in micro_batches(group, engine, _picture_bytes)]


def _picture_bytes(one: _LineRequest) -> int:
    _, request, _ = one
    return sum(len(part.file) for message in request.messages for part in message.parts if not isinstance(part, str))


def _batch(requests: Sequence[_LineRequest]) -> MicroBatch:
    return [request for _, request, _ in requests], requests[0][2]


def _commit(assignment: Assignment, lines: Sequence[Line], completions: Sequence[Completion], seconds: float) -> None:
    results = [_line_result(line, completion) for line, completion in zip(lines, completions, strict=True)]
    n_errors = sum(result.error is not None for result in results)

    def write(connection: Connection) -> Tally:
        batch_lines.store_results(connection, assignment.claim.job_id, results)
        return Tally(answered=len(results) - n_errors, errors=n_errors)

    assignment.lease.commit(write, seconds=seconds)


def _line_result(line: Line, completion: Completion) -> LineResult:
    if completion.finish_reason == "error":
        return LineResult(line.line, None, completion.error or "the engine reported no reason", "error")
    return LineResult(
        line.line,
        completion.text,
        None,
        completion.finish_reason,
        completion.prompt_tokens,
        completion.completion_tokens,
    )
