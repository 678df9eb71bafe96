"""The question in a doc of lm-eval: the row of a data set, of which each task has other fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import Row, RowError

_QUESTIONS = ("question", "query", "problem", "input", "goal", "sentence", "prompt", "text")
_CONTEXTS = ("passage", "context", "article", "support")
_OPTIONS = ("choices", "options", "endings")

_PLACE = re.compile(r"\{\{\s*+(\w++)\s*+(?:\.strip\(\)|\|\s*+trim)?\s*+\}\}")
"""A field in a template that needs no engine of templates. Others would run what a file says.

Its repetitions are possessive: two of blanks follow each other, and would divide many blanks in every way.
"""


def question(doc: Row, template: object, arguments: Sequence[Sequence[Any]]) -> str:
    """The text of the question: a field of the doc, else a simple template over its fields, else the prompt.

    The prompt comes last, because it differs between runs by its worked examples and its chat template. Raises
    RowError if there is none.
    """
    for name in _QUESTIONS:
        if isinstance(doc.get(name), str) and doc[name].strip():
            found = columns.text(doc, name) or ""
            context = next((columns.text(doc, name) for name in _CONTEXTS if isinstance(doc.get(name), str)), None)
            return f"{context}\n\n{found}" if context else found
    if isinstance(template, str) and (filled := _filled(template, doc)):
        return columns.checked("doc", filled)
    prompt = arguments[0][0] if arguments and arguments[0] else None
    if isinstance(prompt, str) and prompt.strip():
        return columns.checked("arguments", prompt)
    raise RowError("doc has no field with a question, and there is no prompt")


def options(doc: Row, arguments: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """The choices: a field of the doc, else the continuations whose log-likelihoods were asked after one prompt."""
    for name in _OPTIONS:
        value = doc.get(name)
        if isinstance(value, dict):
            value = value.get("text")
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return columns.texts(name, value)
    if len(arguments) < 2 or any(len(pair) < 2 or not isinstance(pair[1], str) for pair in arguments):
        return ()
    if any(pair[0] != arguments[0][0] for pair in arguments):
        return ()
    return columns.texts("arguments", [pair[1].strip() for pair in arguments])


def answer(target: object, choices: Sequence[str], *, by_place: bool) -> str | None:
    """The correct answer: the letter of the choice at the place `target`, or the target as text.

    `by_place` says that the task compares log-likelihoods of choices, whose target is a place from 0.
    """
    if target is None:
        return None
    text = target if isinstance(target, str) else json.dumps(target, ensure_ascii=False)
    if by_place and text.isdecimal() and int(text) < min(len(choices), len(LETTERS)):
        return LETTERS[int(text)]
    return columns.checked("target", text.strip()) or None


def _filled(template: str, doc: Mapping[str, Any]) -> str | None:
    """A template with the fields of a doc in it; None if it needs more than that."""
    names = _PLACE.findall(template)
    rest = _PLACE.sub("", template)
    if not names or "{{" in rest or "{%" in rest or not all(isinstance(doc.get(name), str) for name in names):
        return None
    return _PLACE.sub(lambda place: str(doc[place[1]]), template).strip()
