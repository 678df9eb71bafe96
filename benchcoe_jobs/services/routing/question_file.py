"""Questions to route, read from a JSONL file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.picture_files import read_picture


@dataclass(frozen=True, slots=True)
class InputQuestion:
    """A question to route. `id` is the user's, and is returned with the answer."""

    id: str | None
    router_input: RouterInput


def read_questions(path: Path) -> list[InputQuestion]:
    """The questions of a JSONL file, one a line; the path "-" means standard input.

    The paths of pictures begin at the folder of the file, or at the current one for standard input. Raises InputError
    if the file cannot be read; the message names the first wrong line.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        lines = content.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}") from error
    return [_question(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _question(path: Path, number: int, line: str) -> InputQuestion:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {number}: not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or deeply nested brackets
        raise InputError(f"{path}, line {number}: JSON that is too large or too deep") from error
    if not isinstance(row, dict) or not isinstance(row.get("question"), str):
        raise InputError(f'{path}, line {number}: an object with a string "question" is needed')
    choices = row.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise InputError(f'{path}, line {number}: "choices" must be a list of strings')
    pictures = tuple(_pictures(path, number, row))
    return InputQuestion(
        None if row.get("id") is None else str(row["id"]), RouterInput(row["question"], tuple(choices), pictures)
    )


def _pictures(path: Path, number: int, row: Mapping[str, Any]) -> Iterator[Picture]:
    """The pictures of a line: `images`, a list, or `image`, one."""
    listed = row.get("images")
    if listed is None:
        listed = [] if row.get("image") is None else [row["image"]]
    elif row.get("image") is not None or not isinstance(listed, list):
        raise InputError(f'{path}, line {number}: give "images", a list, or "image", one of them, not both')
    for place, value in enumerate(listed, 1):
        try:
            yield Picture.of(read_picture(value, path.parent))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: picture {place}: {error}") from error
