"""Split a sequence into groups of a bounded size. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def groups(
    items: Iterable[Item], size: Callable[[Item], int], most: int, longest: int | None = None
) -> Iterator[list[Item]]:
    """The items in groups, in their order.

    The sizes of a group's items are at most `most` together, or it is a single item. A group has at most `longest`
    items, if that is given.
    """
    group: list[Item] = []
    total = 0
    for item in items:
        n = size(item)
        if group and (len(group) == longest or total + n > most):
            yield group
            group, total = [], 0
        group.append(item)
        total += n
    if group:
        yield group
