"""How a router decides, for the commands that route."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from .command import Finite

_OPTIONS = [
    click.option(
        "--fallback/--no-fallback",
        default=True,
        help="Whether a question unlike the training ones goes to the best single expert. [fallback]",
    ),
    click.option("--max-cost", type=Finite(min=0), help="The most that a query may be expected to cost."),
    click.option(
        "--quality-weight",
        type=Finite(min=0, max=1),
        default=1.0,
        show_default=True,
        help="Weight of the expected score against cost; 1 is quality alone, 0 the cheapest expert.",
    ),
]


def decides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options `fallback` (bool), `max_cost` (None: any) and `quality_weight` (0 to 1) of a command."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)
