"""Batches: each kind of request to where it is answered, and sequences of like length that fit into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from benchcoe_jobs.domain import Completion, Request
from benchcoe_jobs.engines.errors import OutOfMemoryError, engine_error

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")

Answering = Callable[[Mapping[int, Request]], Mapping[int, Completion]]
"""Answers requests by their place in the batch, all of them."""


def by_kind(
    requests: Sequence[Request],
    *,
    score: Answering,
    answer_images: Answering,
    write: Answering,
    since: float | None = None,
) -> list[Completion]:
    """Completions in the order of the requests, whose latency is that of the whole batch.

    `score` takes those with continuations, `answer_images` those with images, `write` the others. The batch was begun
    at `since`, a reading of `time.perf_counter`; None: now.
    """
    started = time.perf_counter() if since is None else since
    kinds: dict[Answering, dict[int, Request]] = {score: {}, answer_images: {}, write: {}}
    for index, request in enumerate(requests):
        kinds[write if is_text(request) else score if request.continuations else answer_images][index] = request
    completions: dict[int, Completion] = {}
    for answer, asked in kinds.items():
        if asked:
            completions |= answer(asked)
    took = time.perf_counter() - started
    return [replace(completions[index], latency_s=took) for index in range(len(requests))]


def is_text(request: Request) -> bool:
    """Whether text is answered with text: no continuations to score, and no images."""
    return not request.continuations and not request.images


def in_batches(
    items: Mapping[Key, Item],
    size: int,
    length: Callable[[Item], int],
    compute: Callable[[list[Item]], list[Answer]],
) -> dict[Key, Answer | OutOfMemoryError]:
    """Compute all items, at most `size` at once, longest first: a batch is padded to its longest.

    Where memory runs out, batches become half as large from there on; an item that is too much
    alone gets the error in its place. Anything else that `compute` raises passes through.
    """
    waiting = sorted(items, key=lambda key: length(items[key]), reverse=True)
    answers: dict[Key, Answer | OutOfMemoryError] = {}
    while waiting:
        batch = waiting[:size]
        try:
            computed = compute([items[key] for key in batch])
        except Exception as error:  # torch's own kind of it is not to be imported here
            known = engine_error(error)
            if not isinstance(known, OutOfMemoryError):
                raise
            if len(batch) > 1:
                size = len(batch) // 2
                continue
            answers[batch[0]] = known
        else:
            answers |= dict(zip(batch, computed, strict=True))
        del waiting[: len(batch)]
    return answers
