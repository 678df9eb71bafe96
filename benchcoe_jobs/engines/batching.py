"""Split a micro-batch by kind of request, and compute requests in batches of similar length that fit into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from benchcoe_jobs.domain import Completion, Request
from benchcoe_jobs.engines.errors import OutOfMemoryError, engine_error

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Computed = TypeVar("Computed")

Handler: TypeAlias = Callable[[Mapping[int, Request]], Mapping[int, Completion]]
"""Completes requests, all of them; the keys are their positions in the micro-batch."""


def complete_by_kind(
    requests: Sequence[Request],
    *,
    loglikelihoods: Handler,
    generate_from_images: Handler,
    generate: Handler,
    since: float | None = None,
) -> list[Completion]:
    """Return completions in the order of the requests; their latency is that of the whole micro-batch.

    `loglikelihoods` gets the requests with continuations, `generate_from_images` those with images, `generate` the
    others. The micro-batch began at `since`, a reading of `time.perf_counter`; None means now.
    """
    started = time.perf_counter() if since is None else since
    by_handler: dict[Handler, dict[int, Request]] = {loglikelihoods: {}, generate_from_images: {}, generate: {}}
    for index, request in enumerate(requests):
        handler = loglikelihoods if request.continuations else generate_from_images if request.image_files else generate
        by_handler[handler][index] = request
    completions: dict[int, Completion] = {}
    for handler, chosen in by_handler.items():
        if chosen:
            completions |= handler(chosen)
    latency_s = time.perf_counter() - started
    return [replace(completions[index], latency_s=latency_s) for index in range(len(requests))]


def is_text(request: Request) -> bool:
    """Whether a text is answered with text: no continuations to score, and no images."""
    return not request.continuations and not request.image_files


def compute_in_batches(
    items: Mapping[Key, Item],
    size: int,
    length: Callable[[Item], int | tuple[int, int]],
    compute: Callable[[list[Item]], list[Computed]],
    most: Callable[[list[Item]], int] = len,
) -> dict[Key, Computed | OutOfMemoryError]:
    """Compute all items, at most `size` together, longest first because a batch is padded to its longest.

    `most` says how many of the first items of a batch fit into memory together, if that depends on the items.

    If memory runs out, that batch and all later ones become half as large; an item that does not fit alone gets the
    error instead of a result. Raises what else `compute` raises.
    """
    waiting = sorted(items, key=lambda key: length(items[key]), reverse=True)
    results: dict[Key, Computed | OutOfMemoryError] = {}
    while waiting:
        batch = waiting[:size]
        batch = batch[: most([items[key] for key in batch])]
        try:
            computed = compute([items[key] for key in batch])
        except Exception as error:  # torch, which defines the error, must not be imported here
            known = engine_error(error)
            if not isinstance(known, OutOfMemoryError):
                raise
            if len(batch) > 1:
                size = len(batch) // 2
                continue
            results[batch[0]] = known
        else:
            results |= dict(zip(batch, computed, strict=True))
        del waiting[: len(batch)]
    return results
