"""Which experts cannot see pictures, as far as it is known without asking them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.files import open_regular
from benchcoe_jobs.model_folder import existing_folder
from benchcoe_jobs.store.results import experts, responses
from benchcoe_jobs.store.results.experts import ExpertRow

_LARGEST_CONFIG = 10_000_000

_WORDS_OF_SIGHT = ("vision", "visual", "image", "img", "patch", "pixel")
"""Parts of the keys by which configurations of models that see say so."""


def blind_experts(connection: Connection, members: Mapping[str, int]) -> list[str]:
    """The experts (name -> id) that cannot see pictures, by name; an expert of which it is not known is left out.

    An expert cannot see if every answer of its engine to a query with pictures was an error, or, if it was not asked
    one, if its model is a folder of this machine whose config.json names a causal language model and nothing of
    pictures.
    """
    answers = responses.answers_about_pictures(connection, members.values())
    blind = []
    for name, expert_id in sorted(members.items()):
        sees = answers.get(expert_id)
        if sees is False or (sees is None and _reads_text_alone(experts.read_expert_by_id(connection, expert_id))):
            blind.append(name)
    return blind


def _reads_text_alone(expert: ExpertRow) -> bool:
    # A folder is stored with its absolute path; another name may by chance be that of a folder here.
    if not expert.can_answer or expert.model is None or not expert.model.startswith("/"):
        return False
    config = _config(expert.model)
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures or _tells_of_pictures(config):
        return False
    return all(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)


def _config(model: str) -> dict[str, Any]:
    """The configuration of a model; empty if the folder is not on this machine, or has none that can be read."""
    try:
        folder = existing_folder(model)
        if folder is None:
            return {}
        with open_regular(folder / "config.json") as file:
            found = json.loads(file.read(_LARGEST_CONFIG))
    except (InputError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _tells_of_pictures(config: Collection[str]) -> bool:
    return any(word in key.lower() for key in config for word in _WORDS_OF_SIGHT)
