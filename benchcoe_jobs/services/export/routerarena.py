"""Predictions of a router for RouterArena (https://github.com/RouteWorks/RouterArena): the model of each question.

Its own pipeline asks the models and scores the answers. `decisions.sha256` fixes the decisions before that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.services.backends import slug
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.json_text import json_document
from benchcoe_jobs.services.routing.decider import current_decider
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_SIZES = {"sub_10": 809, "full": 8_400, "robustness": 420}
"""The numbers of questions that router_inference/check_config_prediction_files.py expects."""

_ROBUSTNESS = "robustness"


class _RouterArena:
    options = frozenset({"data", "map"})

    def is_folder(self, request: ExportRequest) -> bool:
        """See `Exporter.is_folder`."""
        return True

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`."""
        data = request.options.get("data")
        if request.router is None or data is None:
            raise UsageError(
                "format routerarena has the decisions of a router on its data set: give --router, and --data with the "
                "file dataset/router_data.json that its scripts make"
            )
        if request.pool or request.benchmark or request.split:
            raise UsageError("format routerarena takes its questions from --data: leave out all options of the scope")
        questions = _questions(data)
        decider = current_decider(store, home, request.router)
        choices = decider.choose([RouterInput(prompt) for _, prompt in questions])
        model_of = _models(decider.snapshot.eligible, request.options.get("map", {}))
        name = slug(request.router) or "router"
        predictions = [
            {
                "global index": index,
                "prompt": prompt,
                "prediction": model_of[choice.expert],
                "generated_result": None,
                "cost": None,
                "accuracy": None,
            }
            for (index, prompt), choice in zip(questions, choices, strict=True)
        ]
        config = {"pipeline_params": {"router_name": name, "models": sorted(model_of.values())}}
        ending = f"-{_ROBUSTNESS}" if _ROBUSTNESS in data.name else ""
        path = f"router_inference/predictions/{name}{ending}.json"
        content = json_document(predictions)
        files = {
            f"router_inference/config/{name}.json": json_document(config),
            path: content,
            "decisions.sha256": f"{hashlib.sha256(content).hexdigest()}  {path}\n".encode(),
        }
        for file_name, text in files.items():
            with output.create(file_name) as file:
                file.write(text)
        counts = dict.fromkeys(model_of.values(), 0)
        for prediction in predictions:
            counts[str(prediction["prediction"])] += 1
        return Exported(
            f"{counted(len(predictions), 'decision')} of {request.router}",
            {"decisions": len(predictions), "models": counts},
            _notes(len(predictions)),
        )


ROUTERARENA = _RouterArena()


def _questions(path: Path) -> list[tuple[str, str]]:
    """(global index, prompt) of each question of a data set. Raises InputError if it is not one of RouterArena."""
    document = read_document(path)
    entries = document if isinstance(document, list) else []
    found = []
    for number, entry in enumerate(entries, 1):
        index = entry.get("global index") if isinstance(entry, dict) else None
        prompt = (entry.get("prompt_formatted") or entry.get("prompt")) if isinstance(entry, dict) else None
        if not (isinstance(index, str) and index and isinstance(prompt, str) and prompt):
            raise InputError(f"{path}: entry {number} has no text 'global index' or no text 'prompt_formatted'")
        found.append((index, prompt))
    if not found:
        raise InputError(f"{path}: it is not a list of questions, as dataset/router_data.json of RouterArena is")
    if len({index for index, _ in found}) < len(found):
        raise InputError(f"{path}: a global index occurs twice")
    return found


def _models(experts: list[str], mapping: Mapping[str, Any]) -> dict[str, str]:
    """Expert -> the name of its model in RouterArena."""
    if unknown := sorted(set(mapping) - set(experts)):
        raise UsageError(f"--map: the router cannot choose {unknown[0]!r}; it can choose {', '.join(experts)}")
    if wrong := [name for name, model in mapping.items() if not isinstance(model, str) or not model]:
        raise UsageError(f"--map: the model of {wrong[0]!r} is not a text: put quotes around names with a dot")
    found = {name: str(mapping.get(name, name)) for name in experts}
    if len(set(found.values())) < len(found):
        raise UsageError("--map: two experts have the same model")
    return found


def _notes(n: int) -> tuple[str, ...]:
    if n in _SIZES.values():
        return ()
    sizes = ", ".join(f"{size:,} ({name})" for name, size in _SIZES.items())
    return (f"{counted(n, 'question')}: the checks of RouterArena expect {sizes}",)
