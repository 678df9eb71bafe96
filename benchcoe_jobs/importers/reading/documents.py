"""JSON documents that are read as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchcoe_jobs.importers.reading.archive import DamagedError, not_utf8, read_bytes
from benchcoe_jobs.json_text import RepeatedNameError, parsed


def read_document(path: Path) -> Any:
    """The JSON value of a file, which may be in a zip or gzip file.

    Raises InputError as `archive.read_bytes` does, and DamagedError if it is not UTF-8, not JSON, or too deep.
    """
    return json_document(path, read_bytes(path)[1])


def json_document(path: Path, content: bytes) -> Any:
    """The JSON value of a content. Raises DamagedError, which names the file."""
    try:
        return parsed(content.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, error.object[error.start], f"at offset {error.start}") from error
    except json.JSONDecodeError as error:
        raise DamagedError(f"{path}: not JSON, at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RepeatedNameError as error:
        raise DamagedError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, or deeply nested brackets
        raise DamagedError(f"{path}: JSON that is too large or too deep") from error
