"""The command serve: what it refuses, and one service from its start to its end."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import openai
import pytest
import running_service
import served_world
import skill_endpoint
from console import Cli
from made_once import made_once
from sqlalchemy import select

from benchcoe_jobs.store.routing.tables import ServedDecision, ServedOutcome
from benchcoe_jobs.store.session import open_store


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made_once(tmp_path_factory, "served", served_world.make), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "sqlite:///b.db")
    monkeypatch.setenv("BENCHCOE_HOME", "home")
    monkeypatch.delenv("BENCHCOE_API_KEY", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--shadow --explore 0.1", 2, "--explore and --on-failure do not go with it"),
        ("--log none --log-prompts", 2, "--log none does not go with"),
        ("--host 192.0.2.1", 2, "192.0.2.1 can be reached from other machines, and there is no key"),
        ("--api-key-env NO_SUCH_KEY", 4, "the environment variable NO_SUCH_KEY"),
        ("--router none", 2, "router 'none'"),
        ("--endpoints endpoints.toml", 1, "the store has no such expert"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_it_refuses(cli: Cli, options: str, code: int, message: str) -> None:
    Path("endpoints.toml").write_text('[carol]\nurl = "http://127.0.0.1:1/v1"\n')
    ended = cli(f"serve {options}")
    assert ended.code == code
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.usefixtures("folder")
def test_a_missing_package_names_the_extra(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchcoe_jobs.services.serving.server", None)
    ended = cli("serve")
    assert ended.code == 4
    assert "pip install 'benchcoe-jobs[serve]'" in ended.err


def test_a_service_from_start_to_end(folder: Path) -> None:
    (folder / "q.jsonl").write_text("")
    with skill_endpoint.serving(folder / "q.jsonl") as experts:
        models = {"ann": "red", "bob": "blue"}
        given = [f'[{name}]\nurl = "{experts.url}"\nmodel = "{model}"\n' for name, model in models.items()]
        (folder / "endpoints.toml").write_text("".join(given))
        with running_service.running("--endpoints", "endpoints.toml") as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="any")
            answer = client.chat.completions.create(
                model="benchcoe/auto", messages=[{"role": "user", "content": served_world.BRICKS}]
            )
    assert answer.model == "bob"
    assert experts.seen == {("blue", served_world.BRICKS): 1}
    store = open_store("sqlite:///b.db")
    with store.reading() as connection:
        assert connection.scalar(select(ServedDecision.id)) == answer.benchcoe["decision_id"]  # type: ignore[attr-defined]
        assert connection.scalar(select(ServedOutcome.status)) == 200
    store.close()
