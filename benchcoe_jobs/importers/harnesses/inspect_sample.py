"""A sample in a log of inspect: its question, its response, and what a scorer gave it."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from benchcoe_jobs.domain import Query
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import FileError, Row, RowError, quoted

_SUBJECTS = ("subject", "category")
"""Members of the metadata of a sample that name its subject, if the command names no other one."""

_ATTACHMENT = "attachment://"
_MAX_IMAGES = 20

_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def query(sample: Row, key: str, task: str, subject_from: str | None) -> Query:
    """The query of a sample. Images are those that the log holds as data. Raises RowError."""
    text, images = _question(sample)
    if not text and not images:
        raise RowError("input is empty")
    return Query(
        key=key,
        subject=_subject(sample, task, subject_from),
        text=columns.checked("input", text),
        choices=columns.texts("choices", sample["choices"]) if sample.get("choices") else (),
        answer=_answer(sample.get("target")),
        images=images,
    )


def response(sample: Row) -> str | None:
    """The text of the output; None if there is none."""
    output = sample.get("output")
    if not isinstance(output, dict):
        return None
    completion = output.get("completion")
    if isinstance(completion, str) and completion:
        return completion
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(message, dict):
        return None
    return "".join(_texts(message.get("content"), sample))


def usage(sample: Row, model: str) -> Row:
    """The tokens and the cost of the model in a sample: input_tokens, output_tokens, total_cost."""
    by_model = sample.get("model_usage")
    found = by_model.get(model) if isinstance(by_model, dict) else None
    output = sample.get("output")
    if not isinstance(found, dict) and isinstance(output, dict):
        found = output.get("usage")
    return found if isinstance(found, dict) else {}


def score_names(sample: Row) -> Iterator[tuple[str, str | None]]:
    """The scorers of a sample, each with the name of the score for a scorer that gives several."""
    scores = sample.get("scores")
    for scorer, score in scores.items() if isinstance(scores, dict) else ():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, dict):
            yield from ((scorer, name) for name in value)
        else:
            yield scorer, None


def score(sample: Row, scorer: str, name: str | None) -> tuple[float, str | None]:
    """The score of a sample in [0, 1], and the answer that the scorer found.

    C, P, I and N are correct, partial, incorrect and no answer: 1, 0.5, 0 and 0, as in inspect. Raises RowError if the
    sample is not scored, and FileError for a number on another scale.
    """
    scores = sample.get("scores")
    found = scores.get(scorer) if isinstance(scores, dict) else None
    if not isinstance(found, dict):
        raise RowError("it ended with an error" if sample.get("error") else f"it has no score of {scorer}")
    value = found.get("value")
    if name is not None:
        value = value.get(name) if isinstance(value, dict) else None
    answer = found.get("answer")
    return _number(value), answer if isinstance(answer, str) else None


def _number(value: object) -> float:
    if isinstance(value, str):
        known = _LETTERS.get(value, _WORDS.get(value.lower()))
        if known is not None:
            return known
        try:
            value = float(value)
        except ValueError:
            raise RowError(f"value {quoted(value)} is not a score") from None
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise RowError("it is not scored")
    if not isinstance(value, int | float):
        raise RowError(f"value {quoted(value)} is not a score")
    if not 0 <= value <= 1:
        raise FileError(f"value {quoted(value)} is not between 0 and 1, so the scorer has another scale")
    return float(value)


def _subject(sample: Row, task: str, field: str | None) -> str:
    metadata = sample.get("metadata")
    known: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    if field:
        return columns.required(known, field)
    named = (columns.name(known, name) for name in _SUBJECTS if isinstance(known.get(name), str))
    return next((name for name in named if name), None) or task


def _answer(target: object) -> str | None:
    if isinstance(target, list):
        target = target[0] if len(target) == 1 else json.dumps(target, ensure_ascii=False) if target else None
    return columns.checked("target", target.strip()) or None if isinstance(target, str) else None


def _question(sample: Row) -> tuple[str, tuple[bytes, ...]]:
    """The text and the images of the messages of the user; of all messages but the system's if others are between."""
    given = sample.get("input")
    if not isinstance(given, list):
        return "\n".join(_texts(given, sample)), ()
    messages = [one for one in given if isinstance(one, dict) and one.get("role") != "system"]
    parts = [message.get("content") for message in messages]
    text = "\n\n".join(filter(None, ("\n".join(_texts(part, sample)) for part in parts)))
    return text, tuple(image for part in parts for image in _images(part, sample))[:_MAX_IMAGES]


def _texts(content: object, sample: Row) -> Iterator[str]:
    """The texts of a content: a text, or a list with parts of which some are text."""
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else part
        if isinstance(text, str):
            yield _attached(text, sample)


def _images(content: object, sample: Row) -> Iterator[bytes]:
    for part in content if isinstance(content, list) else []:
        image = part.get("image") if isinstance(part, dict) and part.get("type") == "image" else None
        if not isinstance(image, str):
            continue
        start, _, data = _attached(image, sample).partition(";base64,")
        if start.startswith("data:image/"):
            try:
                yield base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                raise RowError("an image of it is not base64") from None


def _attached(text: str, sample: Row) -> str:
    """A text, or the attachment of the sample that stands for it. Long texts are stored once."""
    if not text.startswith(_ATTACHMENT):
        return text
    attachments = sample.get("attachments")
    found = attachments.get(text.removeprefix(_ATTACHMENT)) if isinstance(attachments, dict) else None
    if not isinstance(found, str):
        raise RowError(f"an attachment of it is missing: {quoted(text)}")
    return found
