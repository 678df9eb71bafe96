"""How a service treats requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The options of the command line that docs/serving.md describes.

    `explore` is the share of decisions that go to another expert than the chosen one. `substitutes`: the best single
    expert answers in place of one that failed. `shadow`: the client names the expert, and decisions are only logged.
    """

    shadow: bool = False
    explore: float = 0.0
    substitutes: bool = False
    logs_prompts: bool = False
    max_cost: float | None = None
