"""How an expert is run: its settings from a command line, and back from the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.results.experts import ExpertRow

RECORDED = "recorded"
"""The engine that is none: results of such an expert are imported."""


def new_expert(
    name: str,
    engine: str,
    model: str | None,
    revision: str | None,
    costs: Mapping[str, float | None],
    given: Mapping[str, Any],
) -> ExpertRow:
    """An expert from what its user said of it: `costs` are its cost and prices, `given` settings of its engine.

    None stands where nothing was said.

    Raises UsageError where an engine lacks its model, or settings their engine.
    """
    said = {key: value for key, value in given.items() if value is not None}
    if engine == RECORDED:
        if said:
            raise UsageError(f"engine {RECORDED} runs nothing and has no setting {', '.join(said)}")
        return ExpertRow(name, engine, model, revision, {}, **costs)
    if not model:
        raise UsageError(f"engine {engine} needs --model: a folder, a hub id or an endpoint's name for it")
    plain = ExpertSettings(engine, model)
    settings = {key: value for key, value in said.items() if value != getattr(plain, key)}
    return ExpertRow(name, engine, model, revision, settings, **costs)


def settings_of(expert: ExpertRow) -> ExpertSettings:
    """How to run a stored expert. Raises UsageError where it cannot be run."""
    if expert.engine == RECORDED or expert.model is None:
        raise UsageError(
            f"expert {expert.name!r} has no engine: its results are imported with `benchcoe-jobs import-results`"
        )
    return ExpertSettings(expert.engine, expert.model, expert.revision, **expert.settings)
