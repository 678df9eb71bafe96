"""The work folder of OpenCompass: results/MODEL/DATASET.json, predictions/MODEL/DATASET.json or DATASET_0.json, ...

Only results with `details` tell which answers are correct, which OpenCompass writes with --dump-eval-details. The data
set is the subject. The key is DATASET/NUMBER: the parts of predictions start again at 0, so their rows are numbered on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import Note, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.cells import plain
from benchcoe_jobs.importers.opening import Cut, opening, within
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import FileError, Row, RowError
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

BENCHMARK = "opencompass"

_RESULTS, _PREDICTIONS = "results", "predictions"
_CORRECT = ("correct", "is_correct", "cascade_correct")
_LOOKED_AT = 50
_MEANS = ("accuracy", "score", "exact_match")


class OpenCompassImporter:
    """The format `opencompass`: a work folder, or one file of its results."""

    def recognise(self, source: Source) -> str | None:
        """By the folders of a work folder; by the details of a file."""
        if not source.is_folder:
            return "it has details of answers that are correct or not" if _has_details(source) else None
        files = _result_files(source)
        if any(_predicted(source.path, *_named(file)) or _has_details(Source(file)) for file in files[:_LOOKED_AT]):
            return "it has the folders results and predictions of OpenCompass"
        return None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The answers of every model and data set whose results have details; others are passed over with a Note."""
        options.require_only("opencompass")
        files = _result_files(source) if source.is_folder else [source.path]
        without = []
        for path in files:
            root = source.path if source.is_folder else path.parent.parent.parent
            document = read_document(path)
            if not isinstance(document, dict):
                raise InputError(f"{path}: not an object with details")
            if not document.get("details"):
                without.append(f"{path.parent.name}/{path.name}")
                continue
            yield from _dataset(root, path, document, options)
        if without and len(without) == len(files):
            raise InputError(f"{source}: {_WITHOUT} ({without[0]})")
        if without:
            yield Note(f"{_WITHOUT}: {', '.join(without[:5])}{', ...' if len(without) > 5 else ''}")


_WITHOUT = "no details that tell which answers are correct: run OpenCompass with --dump-eval-details"


def _dataset(root: Path, path: Path, document: Row, options: ReadOptions) -> Iterator[Item]:
    model, dataset = _named(path)
    details = _details(path, document["details"])
    predicted = _predictions(root, model, dataset)
    times = max((_times(detail) for detail in details), default=1)
    if predicted and len(predicted) != len(details) * times:
        raise InputError(
            f"{path}: it has details of {len(details) * times} answers, but the predictions are {len(predicted)}: the "
            "folder has results of two runs"
        )
    # If all questions were asked several times, an element of the details is about all answers to its question, and the
    # predictions begin with the first answers to all questions.
    answers = [{"detail": detail, "predicted": predicted[place : place + 1]} for place, detail in enumerate(details)]

    def result(line: int, answer: Row) -> Result:
        detail: Row = answer["detail"]
        prediction: Row = next(iter(answer["predicted"]), {})
        if _is_of_another_run(detail, prediction):
            raise FileError("its prediction is another one than in the details: the folder has results of two runs")
        gold = prediction.get("gold", detail.get("references", detail.get("answer")))
        found = {
            "key": f"{dataset}/{line - 1}",
            "subject": dataset,
            "text": _prompt(prediction.get("origin_prompt", detail.get("prompt"))),
            "answer": plain(gold),
            "score": _score(detail),
            "response": plain(prediction.get("prediction", detail.get("origin_prediction"))) if times == 1 else None,
        }
        return cells.result(line, found, options.benchmark or BENCHMARK, expert=model, task=dataset, file=path.name)

    yield from converted(path, enumerate(answers, 1), result, path.name)
    name = next((name for name in document if name.split(" (")[0] in _MEANS), None)
    mean = document.get(name or "")
    if isinstance(mean, int | float) and not isinstance(mean, bool):
        yield TaskMean(model, dataset, mean / 100, f"{name} in {path.name}", n=len(details))
    else:
        yield Note(f"{path.name}: it states no accuracy that the answers could be compared with")


def _score(detail: Row) -> Any:
    """Whether an answer is correct; the share of the correct ones if the question was asked several times."""
    name = next((name for name in _CORRECT if detail.get(name) is not None), None)
    if name is None:
        raise RowError("its details do not tell whether it is correct")
    value = detail[name]
    if isinstance(value, list):
        if not value or not all(isinstance(item, bool | int) for item in value):
            raise RowError(f"{name} {columns.quoted(value)} is not a list of truth values")
        return sum(value) / len(value)
    return value


def _times(detail: Row) -> int:
    value = next((detail[name] for name in _CORRECT if detail.get(name) is not None), None)
    return len(value) if isinstance(value, list) else 1


def _prompt(prompt: Any) -> str | None:
    """The text of a prompt, which is one text, or the turns of a conversation with their roles."""
    if isinstance(prompt, list):
        return "\n".join(str(turn.get("prompt") or "") if isinstance(turn, dict) else str(turn) for turn in prompt)
    return plain(prompt)


def _is_of_another_run(detail: Row, prediction: Row) -> bool:
    both = detail.get("origin_prediction"), prediction.get("prediction")
    return isinstance(both[0], str) and isinstance(both[1], str) and both[0] != both[1]


def _details(path: Path, details: Any) -> list[Row]:
    """The details as a list: they are a list, or an object by number, which has the member "type" too."""
    if isinstance(details, dict):
        found = [details[str(place)] for place in range(len(details)) if str(place) in details]
        if len(found) != len([name for name in details if name != "type"]):
            raise InputError(f"{path}: its details are not numbered from 0 without a gap")
        details = found
    if not isinstance(details, list) or not all(isinstance(detail, dict) for detail in details):
        raise InputError(f"{path}: its details are not a list of objects")
    return details


def _predictions(root: Path, model: str, dataset: str) -> list[Row]:
    """The predictions of a model in the order of the details; empty if there are no files."""
    found: list[Row] = []
    for path in _predicted(root, model, dataset):
        document = read_document(path)
        if not isinstance(document, dict) or not all(isinstance(row, dict) for row in document.values()):
            raise InputError(f"{path}: not an object of predictions by number")
        if document.keys() != {str(place) for place in range(len(document))}:
            raise InputError(f"{path}: its predictions are not numbered from 0 without a gap")
        found += [document[str(place)] for place in range(len(document))]
    return found


def _predicted(root: Path, model: str, dataset: str) -> list[Path]:
    """The file of predictions, or its parts."""
    folder = root / _PREDICTIONS / model
    if (whole := folder / f"{dataset}.json").is_file():
        return [whole]
    parts: list[Path] = []
    for number in count():
        if not (part := folder / f"{dataset}_{number}.json").is_file():
            return parts
        parts.append(part)
    return parts


def _result_files(source: Source) -> list[Path]:
    folder = source.path / _RESULTS
    return sorted(path for path in folder.glob("*/*.json") if path.is_file()) if folder.is_dir() else []


def _named(path: Path) -> tuple[str, str]:
    """The model and the data set of a file of results."""
    return path.parent.name, path.stem


def _has_details(source: Source) -> bool:
    details = opening(source).get("details") if source.suffix == ".json" else None
    if isinstance(details, Cut) and details.startswith("["):
        return any(f'"{name}"' in details[:100_000] for name in _CORRECT)
    if isinstance(details, list):
        first: Any = details[0] if details else None
    else:
        first = within(details).get("0")
    return isinstance(first, Cut) or any(name in within(first) for name in _CORRECT)


OPENCOMPASS = OpenCompassImporter()
