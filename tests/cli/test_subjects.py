"""The command add-subjects, as a user gives it."""

from __future__ import annotations

from pathlib import Path

import pytest
from console import Cli

ROWS = "key,subject,text,score,split\n" + "".join(
    f"{topic}-{n},all,{words} {n},{int(topic == 'law')},train\n"
    for topic, words in (("law", "court contract lawyer"), ("soup", "salt soup onion"))
    for n in range(30)
)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_cluster_and_undo(cli: Cli) -> None:
    Path("rows.csv").write_text(ROWS)
    cli("init")
    cli("add-expert ann --engine recorded")
    assert cli("import-results ann rows.csv --benchmark toy").code == 0
    done = cli("add-subjects toy --cluster 2 --json")
    assert sorted(row["train"] for row in done.json["clusters"]) == [30, 30]
    assert done.err.strip() == "to undo: benchcoe-jobs add-subjects toy --undo"
    assert cli("benchmarks --json").json["benchmarks"][0]["subjects"] == 2
    again = cli("add-subjects toy --cluster")
    assert (again.code, "--undo` goes first" in again.err) == (2, True)
    undone = cli("add-subjects toy --undo")
    assert undone.out == "toy: 60 queries of 2 clusters put back into 'all'\n"
    few = cli("add-subjects toy --cluster")
    assert (few.code, "needs 80: give one, as in --cluster 2" in few.err) == (2, True)


def test_careless_use(cli: Cli) -> None:
    cli("init")
    for line, why in {
        "add-subjects toy": "give either --cluster",
        "add-subjects toy --cluster 2 --undo": "give either --cluster",
        "add-subjects toy --cluster 1": "'1' is not a number from 2 to 1000",
        "add-subjects --cluster toy": "without a number, --cluster is the last word",
        "add-subjects toy --cluster 2": "unknown benchmark 'toy'",
        "add-subjects toy --undo --encoder e": "--encoder and --revision are for --cluster",
        "add-subjects toy --cluster 2 --revision r": "--revision needs --encoder",
    }.items():
        outcome = cli(line)
        assert (outcome.code, why in outcome.err) == (2, True), outcome.err
