"""The commands that bench/random_kills.py kills, each in an installation that it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import kill_worlds as worlds
from installation import Site


@dataclass(frozen=True)
class Trial:
    """A command that is killed and given again.

    `finished`: exit codes of a command that is given again when its work is done. `slow_s`: the time of a micro-batch
    of the engine. `files`: what the command writes beside the store, compared too. `after`: a command that must
    succeed at the end. `by_workers`: workers run its shards, and they are killed instead of the command. `attempts`:
    the job queue must be the same too.
    """

    name: str
    world: Callable[[Site], None]
    words: tuple[str, ...]
    finished: tuple[int, ...] = (0,)
    slow_s: float = 0.0
    files: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    by_workers: bool = False
    attempts: bool = False


SUBMIT = ("submit", "prompts.jsonl", "--router", "r")
SETTLE = ("profile", "ann", "--until-settled", "--confidence", "0.9", "--worthwhile", "0.15")
RESULT_FILES = ("prompts.output.jsonl", "prompts.errors.jsonl")
QUESTION = ("No 1: 3 + 4?",)

TRIALS = (
    Trial("init", worlds.nothing, ("init",)),
    Trial("init of a store of 0.1.0", worlds.old, ("init",), attempts=True),
    Trial("add-benchmark", worlds.upgraded, ("add-benchmark", "fake", "fake")),
    Trial("import-results", worlds.listed, ("import-results", "all", "results.jsonl", "--benchmark", "table")),
    Trial("profile", worlds.registered, ("profile", "ann"), slow_s=0.1),
    Trial("profile until settled", worlds.rivalled, SETTLE, slow_s=0.1),
    Trial("build-labels", worlds.recorded, ("build-labels", "--level", "query")),
    Trial("train-router", worlds.profiled, ("train-router", "s"), after=("route", "--router", "s", *QUESTION)),
    Trial(
        "train-router, query level",
        worlds.profiled,
        ("train-router", "q", "--level", "query"),
        after=("route", "--router", "q", *QUESTION),
    ),
    Trial("evaluate", worlds.routed, ("evaluate", "r"), slow_s=0.1),
    Trial("submit", worlds.routed, SUBMIT, slow_s=0.1, files=RESULT_FILES),
    Trial("experiment", worlds.recorded, ("experiment", "plan.toml"), files=("plan/results.json",)),
    # Once the rows are in order there is nothing to repair, which is a usage error.
    Trial("audit --repair order", worlds.recorded, ("audit", "--repair", "order", "--expert", "eve"), finished=(0, 2)),
    Trial("remove", worlds.submitted, ("remove", "batch", "--older-than", "0h", "--yes")),
    Trial("profile by workers", worlds.registered, ("profile", "ann"), slow_s=0.2, by_workers=True),
    Trial("profile until settled by workers", worlds.rivalled, SETTLE, slow_s=0.2, by_workers=True),
    Trial("submit by workers", worlds.routed, SUBMIT, slow_s=0.2, files=RESULT_FILES, by_workers=True),
    Trial("train-router by workers", worlds.profiled, ("train-router", "s"), by_workers=True),
)
