"""JSON of exports: UTF-8 in which no character acts on a terminal."""

from __future__ import annotations

import json
from typing import Any

from benchcoe_jobs.characters import json_safe


def json_line(value: Any) -> bytes:
    """A value as one line of JSON Lines."""
    return json_safe(json.dumps(value, ensure_ascii=False)).encode() + b"\n"


def json_document(value: Any) -> bytes:
    """A value as an indented document."""
    return json_safe(json.dumps(value, ensure_ascii=False, indent=2)).encode() + b"\n"
