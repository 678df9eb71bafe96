"""Options of the commands that route."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from .command import Finite, FiniteOr

router_option = click.option("--router", metavar="NAME", help="The router. [the only one in the store]")

_OPTIONS = [
    click.option(
        "--fallback/--no-fallback",
        default=True,
        help="Send questions that are unlike the training questions to the best single expert, or route every "
        "question. [fallback]",
    ),
    click.option("--max-cost", type=Finite(min=0), help="Largest expected cost of a query."),
    click.option(
        "--quality-weight",
        type=FiniteOr("auto", min=0, max=1),
        default=1.0,
        show_default=True,
        help="Weight of the expected score against the cost. 1 considers only the score; 0 chooses the cheapest "
        "expert; auto is the weight that in training kept the best single expert's accuracy at the least cost.",
    ),
]


def routing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options `fallback` (bool), `max_cost` (None: no limit) and `quality_weight` (0 to 1, or "auto")."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)
