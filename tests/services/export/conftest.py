"""The command line as a fixture."""

from __future__ import annotations

from functools import partial

import pytest
from console import Cli, run


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """A function that runs a command line in the current folder."""
    return partial(run, capsys=capsys)
