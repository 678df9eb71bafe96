"""bench/README.md lists every script, with a command that the script's own docstring has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
README = (BENCH / "README.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+\.py)` \| (.+) \|$", README, re.MULTILINE))
MODULES = sorted(path.name for path in BENCH.glob("*.py"))
SCRIPTS = [name for name in MODULES if "__main__" in (BENCH / name).read_text(encoding="utf-8")]


def test_every_script_is_listed_and_every_other_module_is_named() -> None:
    assert len(SCRIPTS) > 15
    assert sorted(ROWS) == SCRIPTS
    assert set(re.findall(r"`(\w+\.py)`", README)) == set(MODULES)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_row_has_what_it_measures_a_command_and_a_time(name: str) -> None:
    measures, command, time = re.split(r"(?<!\\) \| ", ROWS[name])
    assert len(measures) > 20
    assert f"python bench/{name}" in command
    assert re.search(r"second|minute|hour", time)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_options_of_the_command_exist(name: str) -> None:
    code = (BENCH / name).read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z]+", ROWS[name]))
    assert options <= set(re.findall(r'"(--[a-z]+)"', code))
    docstring = ast.get_docstring(ast.parse(code)) or ""
    assert f"python bench/{name}" in docstring
