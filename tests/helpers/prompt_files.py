"""Files of prompts in OpenAI's batch format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


def chat(number: int, text: str, **more: Any) -> dict[str, Any]:
    """A line with one message of the user; `more` are fields of its body."""
    body = {"model": "any", "messages": [{"role": "user", "content": text}], "temperature": 0} | more
    return {"custom_id": f"c{number}", "method": "POST", "url": CHAT, "body": body}


def plain(number: int, text: str, **more: Any) -> dict[str, Any]:
    """A line with a prompt; `more` are fields of its body."""
    return {"custom_id": f"c{number}", "method": "POST", "url": PLAIN, "body": {"prompt": text} | more}


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    """Write the lines to a file, and return it."""
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
