"""The option --until-settled of profile and add-expert."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fake_plugins
import pytest
import settling_worlds
import tiny_quiz
from console import Cli
from installation import Site, opened

ADD_EXPERT = "benchcoe_jobs.cli.expert"


@pytest.fixture
def folder(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The world of `settling_worlds.prepare` in the current folder.

    The choices of --engine are read when its module is imported, so the module is imported again.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    fake_plugins.install(tmp_path, monkeypatch)
    sys.modules.pop(ADD_EXPERT, None)
    with opened(Site(tmp_path, store_url)) as site:
        settling_worlds.prepare(site, tmp_path)
    yield tmp_path
    sys.modules.pop(ADD_EXPERT, None)


@pytest.mark.usefixtures("folder")
def test_profile_until_settled_shows_what_is_settled_and_labels_say_so(cli: Cli) -> None:
    most = cli("profile new --until-settled --dry-run")
    assert most.code == 0
    assert "this is the most it asks" in most.err
    shown = cli("profile new --until-settled --confidence 0.99")
    assert shown.code == 0, shown.err
    n_train = sum(
        row["n_queries"] for row in cli("profile new --until-settled --json").json["benchmarks"][0]["subjects"]
    )
    assert f"of {n_train} queries scored; settled early: 3 of 3 subjects" in shown.out
    assert "`benchcoe-jobs profile new --split test` asks test in full" in shown.err
    repeated = cli("profile new --until-settled --repeat 4")
    assert "of 4 queries that were asked again, 4 have the same answer" in repeated.out
    labels = cli("build-labels --level subject")
    assert labels.code == 0
    [row] = [line for line in labels.out.splitlines() if line.split()[:1] == ["math"]]
    assert "new" in row
    assert "(estimated)" in row
    assert "settled after a part of the queries of new: biology (" in labels.err


@pytest.mark.usefixtures("folder")
def test_add_expert_until_settled(cli: Cli) -> None:
    added = cli("add-expert late --engine fake --model late --until-settled --json")
    assert added.code == 0, added.err
    [row] = added.json["profile"]["benchmarks"]
    assert 0 < row["answered"] < row["queries"] / 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("profile new --until-settled --split test", "the split test is asked in full"),
        ("profile new --until-settled --limit 5", "omit --limit"),
        ("profile new --until-settled --max-cost 1", "omit one of the two"),
        ("profile new --max-cost 1 --repeat 5", "omit one of the two"),
        ("profile new --confidence 0.9", "add --until-settled"),
        ("profile new --until-settled --confidence 1", "--confidence"),
        ("profile missing --until-settled", "unknown expert 'missing'"),
        ("profile old --until-settled", "import"),
        ("add-expert x --engine recorded --until-settled", "omit it for an expert that is only registered"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_done_is_reported_in_one_line(cli: Cli, line: str, message: str) -> None:
    refused = cli(line)
    assert refused.code == 2
    assert message in refused.err


def test_without_a_rival_the_expert_is_not_registered(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    fake_plugins.install(tmp_path, monkeypatch)
    sys.modules.pop(ADD_EXPERT, None)
    assert cli(f"add-benchmark fake {tiny_quiz.write_quiz(tmp_path / 'fake', 30)}").code == 0
    refused = cli("add-expert first --engine fake --model first --until-settled")
    assert refused.code == 2
    assert "no other expert has scores" in refused.err
    assert cli("experts --json").json["experts"] == []
    sys.modules.pop(ADD_EXPERT, None)
