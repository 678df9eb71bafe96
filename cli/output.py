"""Print to the terminal. Every command prints through this module, so that no text can act on the terminal.

Names come from result files, and messages from endpoints and libraries: their control characters are shown as escapes.
Secrets are masked in notes and errors; data on stdout is printed as it is stored.
"""

from __future__ import annotations

import json
import sys
from typing import IO, Any

import click

from benchcoe_jobs.characters import json_safe, one_line, visible
from benchcoe_jobs.masking import masked


def echo(*lines: str) -> None:
    """Print lines to stdout. A line feed inside a line is shown as an escape."""
    click.echo("\n".join(visible(line).replace("\n", "\\n") for line in lines))


def echo_error(message: str) -> None:
    """Print a message to stderr as one line, without secrets."""
    click.echo(one_line(masked(message)), err=True)


def echo_block(text: str) -> None:
    """Print a text of several lines to stderr, without secrets: a traceback, or the usage of a command."""
    click.echo(visible(masked(text)), err=True, nl=False)


def echo_json(data: Any) -> None:
    r"""Print a value to stdout as one line of JSON. Unsafe characters become \uXXXX, which is the same value."""
    click.echo(json_safe(json.dumps(data, ensure_ascii=False, default=str)))


def stdout_bytes() -> IO[bytes]:
    """Standard output as bytes, for an export: its texts are written without unsafe characters."""
    return sys.stdout.buffer
