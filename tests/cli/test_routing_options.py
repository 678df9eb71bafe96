"""The options of the commands that route."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchcoe_jobs.cli import evaluate, route
from benchcoe_jobs.cli.routing_options import routing_options


@pytest.fixture
def parse() -> Any:
    """A function that returns the parsed options of a command line, or the exit code of a usage error."""

    @click.command()
    @routing_options
    def command(**options: Any) -> None:
        found.update(options)

    found: dict[str, Any] = {}

    def run(*words: str) -> Any:
        found.clear()
        result = CliRunner().invoke(command, words)
        return dict(found) if result.exit_code == 0 else result.exit_code

    return run


def test_defaults(parse: Any) -> None:
    assert parse() == {"fallback": True, "max_cost": None, "quality_weight": 1.0}


def test_values(parse: Any) -> None:
    options = parse("--no-fallback", "--max-cost", "0", "--quality-weight", "0.5")
    assert options == {"fallback": False, "max_cost": 0.0, "quality_weight": 0.5}
    assert parse("--quality-weight", "auto")["quality_weight"] == "auto"


@pytest.mark.parametrize(
    "words",
    [
        ("--max-cost", "-1"),
        ("--max-cost", "nan"),
        ("--quality-weight", "1.1"),
        ("--quality-weight", "inf"),
        ("--quality-weight", "Auto"),
    ],
)
def test_values_out_of_range_are_usage_errors(parse: Any, words: tuple[str, str]) -> None:
    assert parse(*words) == 2


def test_evaluate_and_route_have_the_same_routing_options() -> None:
    names = {"fallback", "max_cost", "quality_weight"}
    of_evaluate, of_route = (
        {option.name: option.to_info_dict() for option in command.params if option.name in names}
        for command in (evaluate.evaluate, route.route)
    )
    assert of_evaluate == of_route
    assert of_route.keys() == names
