"""Hypothesis strategies for damaged and hostile content: valid documents with some of their values exchanged."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from examples import IS_LONG_RUN, examples
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from benchcoe_jobs.errors import BenchcoeError

fuzzed = settings(
    max_examples=examples(6),
    deadline=None,
    derandomize=not IS_LONG_RUN,
    phases=[Phase.generate, Phase.shrink] if IS_LONG_RUN else [Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The settings of every test of this kind: the suite tries the same inputs each time, a long run new ones."""

_Path = tuple[str | int, ...]

_ODD_TEXTS = ["", " ", "\0", "\ud800", "\x1b[2J", "\u202e", "\r\n", "N/A", "nan", "-inf", "1e999", "../x", "x" * 70_000]
_DEEP = json.loads("[" * 200 + "]" * 200)
_ODD_NUMBERS = [0, -1, 2**31, 2**63, 2**64, 10**400, -0.0, 0.1, 1e-320, 1e308, float("nan"), float("inf")]

_ODD_CONTAINERS = [[], {}, [None], [[]], {"": None}, {"a": {"b": [1, "\0"]}}, ["a", 1, None], _DEEP]

odd_texts = st.sampled_from(_ODD_TEXTS) | st.text(max_size=20)
odd_values: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.sampled_from(_ODD_NUMBERS)
    | st.integers()
    | st.floats()
    | odd_texts
    | st.sampled_from(_ODD_CONTAINERS).map(copy.deepcopy)
)


def require_own_errors(read: Callable[[], object]) -> None:
    """Call a reader. Only the project's own errors may come out, with a message of one line."""
    try:
        read()
    except BenchcoeError as error:
        message = str(error)
    else:
        return
    assert message.strip()
    assert "\n" not in message, repr(message)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document with one to three of its values exchanged, removed or added."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        paths = [path for path in _paths(document) if path]
        if not paths:
            return draw(odd_values)
        *above, last = draw(st.sampled_from(paths))
        parent = document
        for step in above:
            parent = parent[step]
        match draw(st.sampled_from(["exchange", "exchange", "remove", "add"])):
            case "exchange":
                parent[last] = draw(odd_values)
            case "remove":
                del parent[last]
            case _ if isinstance(parent, dict):
                parent[draw(odd_texts)] = draw(odd_values)
            case _:
                parent.append(draw(odd_values))
    return document


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some are exchanged, removed, repeated or added."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 2, 8, 200])))
        inserted = draw(st.binary(max_size=8) | st.sampled_from([b"\0", b'"', b"\n", b"\xff\xfe", b"[" * 2000]))
        content = content[:start] + draw(st.sampled_from([inserted, content[start:end] * 2, b""])) + content[end:]
    return content


@st.composite
def lines(draw: st.DrawFn, *rows: Any) -> bytes:
    """A JSONL file: rows as they are, changed rows, and sometimes damaged bytes."""
    drawn = [draw(st.just(row) | changed(row)) for row in rows]
    content = "".join(json.dumps(row, ensure_ascii=draw(st.booleans())) + "\n" for row in drawn)
    written = content.encode("utf-8", "surrogatepass")
    return draw(damaged(written)) if draw(st.integers(0, 3)) == 0 else written


@st.composite
def document(draw: st.DrawFn, content: Any) -> bytes:
    """A JSON file with a changed document, and sometimes damaged bytes."""
    written = json.dumps(draw(changed(content)), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(damaged(written)) if draw(st.integers(0, 3)) == 0 else written


def as_toml(value: Any) -> str:
    """A value in TOML; what JSON has and TOML has not is written as in JSON, and is not valid there."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def _paths(value: Any, above: _Path = ()) -> Iterator[_Path]:
    """The path of every value within a document; at most twelve levels."""
    yield above
    if len(above) < 12:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, inner in items:
            yield from _paths(inner, (*above, step))
