"""The commands of a page, and what it shows that they print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from benchcoe_jobs.cli.main import execute


def commands_of(page: str) -> list[tuple[str, str]]:
    """The commands in the blocks of a page without the name of the program, each with the output that follows it."""
    blocks = re.findall(r"^```\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    steps = [step for block in blocks for step in block.split("$ benchcoe-jobs ")[1:]]
    return [(command, shown) for command, _, shown in (step.partition("\n") for step in steps)]


def printed_by(commands: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[str, str, str]]:
    """Run commands, which must succeed, in their order. Yields each with what was shown, and what it prints."""
    for command, shown in commands:
        code = execute(shlex.split(command))
        printed = capsys.readouterr()
        assert code == 0, printed.err
        yield command, shown, printed.out + printed.err
