"""The commands of jobs in the foreground, and the command broker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import tiny_quiz
from console import Cli

ADD_EXPERT = "benchcoe_jobs.cli.expert"
CONSOLE = Path(sys.executable).with_name("benchcoe-jobs")


@pytest.fixture
def folder(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Iterator[Path]:
    """The current folder, with a store, a benchmark, and an engine that returns its prompt."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    tiny_quiz.install(tmp_path, monkeypatch)
    sys.modules.pop(ADD_EXPERT, None)  # the choices of --engine are read at import
    tiny_quiz.write_quiz(tmp_path / "quiz", 40)
    assert cli("add-benchmark quiz quiz").code == 0
    yield tmp_path
    sys.modules.pop(ADD_EXPERT, None)


def test_a_job_from_start_to_end(folder: Path, cli: Cli) -> None:
    for name in ("ann", "bob"):
        assert cli(f"add-expert {name} --engine echo --model {name}").code == 0
    assert cli("train-router r --json").json["level"] == "subject"
    listed = cli("jobs --json").json["jobs"]
    assert [(job["kind"], job["about"], job["state"]) for job in listed] == [
        ("train-router", "r", "done"),
        ("profile", "bob", "done"),
        ("profile", "ann", "done"),
    ]
    status = cli(f"status {listed[2]['job']} --json").json
    assert [
        (shard_group["expert"], shard_group["benchmark"], shard_group["answered"], shard_group["done"])
        for shard_group in status["shard_groups"]
    ] == [("ann", "quiz", 40, 1)]
    assert cli(f"watch {listed[2]['job']} --json").json["state"] == "done"
    assert "profile, done" in cli(f"status {listed[2]['job']}").out

    lines = [
        {"custom_id": str(n), "method": "POST", "url": "/v1/completions", "body": {"prompt": text}}
        for n, text in enumerate(["hello", "raise", "bye"])
    ]
    Path("prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ended = cli("submit prompts.jsonl --json --priority 3")
    assert ended.code == 3, ended.err
    assert (ended.json["output"]["lines"], ended.json["errors"]["lines"]) == (2, 1)
    job = ended.json["job"]
    found = cli("jobs --json --limit 1").json["jobs"][0]
    assert (found["file"], found["priority"]) == (str(folder / "prompts.jsonl"), 3)
    assert found["by"].endswith(f"@{socket.gethostname()}")
    assert found["seconds"] >= 0
    [heading, _, row] = [line.split() for line in cli("jobs --limit 1").out.splitlines() if line.strip()]
    assert heading == ["job", "kind", "about", "by", "state", "progress", "created", "took", "error"]
    assert row[2:4] == ["prompts.jsonl", found["by"]]
    assert f"file {folder / 'prompts.jsonl'}" in cli(f"status {job}").out
    answers = [json.loads(line) for line in Path("prompts.output.jsonl").read_text().splitlines()]
    assert [line["response"]["body"]["choices"][0]["text"] for line in answers] == ["HELLO", "BYE"]
    assert cli(f"watch {job}").code == 3
    assert cli(f"retry {job} --failed --json").code == 3, "it fails again"
    fetched = cli(f"results {job} --json --output o --errors e")
    assert (fetched.code, fetched.json["output"]["lines"]) == (3, 2)
    assert Path("o").read_bytes() == Path("prompts.output.jsonl").read_bytes()


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("status 99", 2, "no job 99"),
        ("status 99999999999999999999", 2, "not in the range"),
        ("jobs --limit 99999999999999999999", 2, "not in the range"),
        ("watch 99", 2, "no job 99"),
        ("cancel 1", 2, "is over (done)"),
        ("retry 1", 2, "job 1 has no failed shards or items"),
        ("results 1", 2, "not a submitted file"),
        ("results 99", 2, "no job 99"),
        ("submit nothing.jsonl", 1, "cannot be read"),
        ("submit quiz/test.jsonl", 1, "line 1: custom_id"),
        ("worker", 4, "set BENCHCOE_BROKER_URL"),
        ("worker --queues gpus", 2, "gpu, train, cpu"),
        ("worker --gpus 0,0", 2, "each once"),
    ],
)
def test_usage_errors_queue_nothing(folder: Path, cli: Cli, line: str, code: int, message: str) -> None:
    assert cli("add-expert ann --engine echo --model ann").code == 0
    before = cli("jobs --json").json
    ended = cli(line)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert cli("jobs --json").json == before


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://example.org:6379/0", "requires no password"),
        ("amqp://localhost", "must be a Redis"),
        ("redis://:hunter2@host:port/0", "cannot be read"),
        ("redis:///0", "names no host"),
        ("redis+socket://", "names no socket"),
        ("redis://127.0.0.1/zero", "a database that is not a number"),
        ("redis://:hunter2@127.0.0.1/0?colour=red", "an unknown option"),
    ],
)
def test_an_open_or_invalid_broker_is_rejected(
    folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("BENCHCOE_BROKER_URL", url)
    ended = cli("add-expert ann --engine echo --model ann")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert "hunter2" not in ended.err
    assert cli("jobs --json").json["jobs"] == [], "nothing was queued"


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_status_works_without_the_broker(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    assert cli("add-expert ann --engine echo --model ann").code == 0
    assert cli("status 1 --json").json["broker_fault"] is None, "no broker is configured"
    with socket.socket() as silent:  # bound, but not listening
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("BENCHCOE_BROKER_URL", f"redis://:hunter2@127.0.0.1:{silent.getsockname()[1]}/0")
        result = cli("status 1")
        assert (result.code, "profile, done" in result.out) == (0, True)
        [note] = result.err.splitlines()
        assert "does not answer" in note
        assert "hunter2" not in note
        status = cli("status 1 --json").json
        assert (status["state"], status["shard_groups"][0]["answered"]) == ("done", 40)
        assert status["broker_fault"] == note.removeprefix("note: ")
        [check] = [check for check in cli("doctor --json").json["checks"] if check["what"] == "broker"]
        assert (check["state"], check["detail"]) == ("broken", status["broker_fault"])
    monkeypatch.setenv("BENCHCOE_BROKER_URL", broker)
    assert cli("status 1 --json").json["broker_fault"] is None


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize("home", ["h", "h" * 100], ids=["short", "too long for a socket"])
def test_the_command_broker_runs_a_broker(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    with subprocess.Popen([CONSOLE, "broker", "--home", home], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            name, _, url = process.stdout.readline().strip().partition("=")
            assert name == "BENCHCOE_BROKER_URL"
            path = Path(url.removeprefix("redis+socket://"))
            client = redis.Redis(unix_socket_path=str(path))
            assert client.ping()
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert path.stat().st_mode & 0o077 == 0, "only the owner may open it"
            assert Path(home, "broker", "appendonlydir").is_dir(), "its data is under BENCHCOE_HOME"
            monkeypatch.setenv(name, url)
            queued = cli("add-expert ann --engine echo --model ann --json")
            assert queued.json == {"job": 1, "new": True}
            assert cli("profile ann --json").json == {"job": 1, "new": False}, "the same request is the same job"
            assert client.llen("gpu") == 1, "one ticket for one shard"
            assert "no worker serves queue gpu" in cli("status 1").err
            assert cli("cancel 1 --json").json == {"job": 1, "state": "cancelled"}
            assert cli("watch 1").code == 1
            client.close()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0
    assert not os.path.exists(path), "the socket is removed"  # noqa: PTH110
