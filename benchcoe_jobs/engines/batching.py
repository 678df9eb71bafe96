"""Batches of like length that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from benchcoe_jobs.engines.errors import OutOfMemoryError, engine_error

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


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
