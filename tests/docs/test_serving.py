"""docs/serving.md against the service: its commands, files, paths and metrics."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import running_service
import served_world
import skill_endpoint
import yaml
from made_once import made_once
from served_world import APPLES, World, chat

from benchcoe_jobs.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(made_once(tmp_path_factory, "served", served_world.make), tmp_path / "world", monkeypatch)


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a service in a process of its own."""
    folder = world.home.parent
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", f"sqlite:///{folder}/b.db")
    monkeypatch.setenv("BENCHCOE_HOME", str(world.home))
    monkeypatch.setenv("BENCHCOE_API_KEY", "secret")
    (folder / "q.jsonl").write_text("")
    with skill_endpoint.serving(folder / "q.jsonl") as experts:
        given = [f'[{name}]\nurl = "{experts.url}"\nmodel = "red"\n' for name in ("ann", "bob")]
        (folder / "endpoints.toml").write_text("".join(given))
        with running_service.running("--endpoints", str(folder / "endpoints.toml")) as url:
            yield url


def curl(command: str, *options: str) -> tuple[int, str]:
    """The exit code and the output of a command of curl."""
    done = subprocess.run(["sh", "-c", " ".join([command.strip(), "-sS", *options])], capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(service: str) -> None:
    [command] = re.findall(r"^(curl .+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    command = command.replace("http://127.0.0.1:8900", service)
    code, printed = curl(command)
    events = [json.loads(line) for line in re.findall(r"^data: (\{.*)$", printed, re.MULTILINE)]
    assert (code, printed.endswith("data: [DONE]\n\n")) == (0, True)
    assert {event["model"] for event in events} == {events[0]["benchcoe"]["expert"]}
    assert "".join(event["choices"][0]["delta"]["content"] for event in events) == "unknown"
    code, printed = curl(command.replace(', "stream": true', ""), "-i")
    assert (code, json.loads(printed.splitlines()[-1])["choices"][0]["message"]["content"]) == (0, "unknown")
    assert "x-benchcoe-selected-model: ann" in printed
    code, printed = curl(command.replace("benchcoe/auto", "benchcoe/otto"), "--fail-with-body")
    assert (code, json.loads(printed)["error"]["code"]) == (22, "model_not_found")
    code, printed = curl(command.replace("$BENCHCOE_API_KEY", "wrong"), "--fail-with-body")
    assert (code, json.loads(printed)["error"]["code"]) == (22, "invalid_api_key")


COMMANDS = re.findall(r"^(?:\$ |ExecStart=\S*/)benchcoe-jobs (.+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_options_of_the_commands_exist(line: str) -> None:
    name, *options = shlex.split(line)
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, options)  # raises for an option that it does not have


def test_the_options_in_the_text_exist() -> None:
    command = main.get_command(click.Context(main), "serve")
    assert command is not None
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    of_other_commands = {
        "--timeout",
        "--against",
        "--older-than",
        "--yes",
        "--model",
        "--tasks",
        "--apply_chat_template",
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z_-]*", PAGE)) <= known | of_other_commands | {"--model_args"}


def test_the_file_of_endpoints_and_the_configuration_of_litellm(world: World) -> None:
    [endpoints] = blocks("toml")
    renamed = tomllib.loads(endpoints.replace("[reckoner]", "[ann]").replace("MISTRAL_API_KEY", "HOME"))
    assert world.source(endpoints=renamed).load().upstreams["ann"].url == renamed["ann"]["url"]
    [litellm] = blocks("yaml")
    [model] = yaml.safe_load(litellm)["model_list"]
    assert model["litellm_params"]["model"].removeprefix("openai/") == "benchcoe/auto"


def test_the_paths_metrics_headers_and_the_object_exist(world: World) -> None:
    async def use(client: Any) -> list[Any]:
        answer = await client.post("/v1/chat/completions", json=chat(APPLES))
        return [answer, (await client.get("/metrics")).text, client._transport.app._app.routes]

    answer, metrics, routes = world.run(use, substitutes=True, explore=0.1)
    listed = set(re.findall(r"`(?:GET|POST) (/[\w/]+)`", PAGE))
    assert listed == {route.path for route in routes}
    counted = set(re.findall(r"^# TYPE (benchcoe_\w+?)(?:_total)? (?!gauge)", metrics, re.MULTILINE))
    documented = {name.removesuffix("_total") for name in re.findall(r"`(benchcoe_\w+)", PAGE)}
    assert documented == counted | {"benchcoe_router_info"}
    [example] = blocks("json")
    assert list(ast.literal_eval(example.replace("false", "False").replace("null", "None"))) == list(
        answer.json()["benchcoe"]
    )
