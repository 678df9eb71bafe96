"""The settings of an expert: from a command line to the store, and from the store to its engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchcoe_jobs.domain import RECORDED
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.masking import masked
from benchcoe_jobs.model_folder import stored_name
from benchcoe_jobs.services.inference.placement import engine_traits
from benchcoe_jobs.store.results.experts import ExpertRow

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def new_expert(
    name: str,
    engine: str,
    model: str | None,
    revision: str | None,
    costs: Mapping[str, float | None],
    given: Mapping[str, Any],
) -> ExpertRow:
    """The row of a new expert: `costs` are its cost and prices, `given` are engine settings, None if not given.

    A model that is an existing folder is stored with its absolute path. Raises UsageError if an engine has no model, if
    settings are given without an engine, or if a secret would be stored; InputError if the model is a relative path
    that does not exist.
    """
    given = {key: _as_stored(value) for key, value in given.items() if value not in (None, ())}
    _require_no_secret(given)
    if engine == RECORDED:
        if given:
            raise UsageError(f"engine {RECORDED} runs nothing and has no setting {', '.join(given)}")
        return ExpertRow(name, engine, model, revision, {}, **costs)
    if not model:
        raise UsageError(f"engine {engine} needs --model: a folder, a hub id or an endpoint's name for it")
    if engine_traits(engine).opens_folders:
        model = stored_name(model)
    defaults = ExpertSettings(engine, model)
    settings = {key: value for key, value in given.items() if value != _as_stored(getattr(defaults, key))}
    return ExpertRow(name, engine, model, revision, settings, **costs)


def _require_no_secret(given: Mapping[str, Any]) -> None:
    """Raise UsageError if a key or a password stands where it would be stored. The message does not show it."""
    url, variable = given.get("base_url"), given.get("api_key_env")
    if url is not None and ("@" in url.partition("://")[2].partition("/")[0] or "?" in url):
        raise UsageError(
            "--base-url must be http(s)://host[:port]/path, without user, password or query, which would be stored: "
            "put the key into an environment variable and name the variable with --api-key-env"
        )
    if variable is not None and (not _VARIABLE.fullmatch(variable) or masked(variable) != variable):
        raise UsageError("--api-key-env is the name of an environment variable that holds the key, not the key")


def _as_stored(value: Any) -> Any:
    """A setting in the form in which the store returns it: JSON has no tuples."""
    return list(value) if isinstance(value, tuple) else value


def settings_of(expert: ExpertRow) -> ExpertSettings:
    """The engine settings of a stored expert. Raises UsageError if it has no engine."""
    if not expert.can_answer or expert.model is None:
        raise UsageError(
            f"expert {expert.name!r} has no engine: its results are imported with `benchcoe-jobs import-results`"
        )
    return ExpertSettings(expert.engine, expert.model, expert.revision, **expert.settings)
