"""import-results with several files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from console import Cli
from lm_eval_logs import write_logs

TABLE = "benchmark,key,text,subject,expert,score\n"


@pytest.fixture(autouse=True)
def _in_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("init").code == 0
    Path("runs").mkdir()
    for name in ("ann", "bob"):
        rows = (f"toy,{n},what is {n}?,{'ab'[n % 2]},{name},{int(n % 3 > 0)}\n" for n in range(6))
        Path(f"runs/{name}.csv").write_text(TABLE + "".join(rows))


def test_files_of_a_folder_are_imported_with_their_experts(cli: Cli) -> None:
    Path("runs/notes.txt").write_text("nothing")
    ended = cli("import-results all runs --create-experts")
    assert ended.code == 0
    for name in ("ann", "bob"):
        assert f"{name}.csv: 6 rows read\n  taken for table, because it has the columns key, subject and score\n" in (
            ended.out
        )
        assert f"  registered: {name}\n  6 scored for {name}\n" in ended.out
    assert "not read, because they have no known format: runs/notes.txt" in ended.err
    step = (
        "next: benchcoe-jobs build-labels --level subject --benchmark toy, then benchcoe-jobs train-router by-subject"
    )
    assert step in ended.err
    assert cli("build-labels --level subject --benchmark toy").code == 0


def test_the_others_stay_if_a_file_is_refused(cli: Cli) -> None:
    Path("runs/bob.csv").write_text(TABLE + "toy,1,what is 1?,b,bob,7\n")
    ended = cli("import-results all runs --create-experts --json")
    assert ended.code == 3
    assert ended.json["scored"] == {"ann": 6}
    assert [source["file"] for source in ended.json["sources"]] == ["ann.csv"]
    [reason, last] = ended.err.splitlines()
    assert "bob.csv: nothing was imported: row 2: score '7'" in reason
    assert last == "Error: 1 of 2 files were not imported: bob.csv"
    assert [row["expert"] for row in cli("experts --json").json["experts"]] == ["ann"]


def test_the_sum_of_several_files_in_json(cli: Cli) -> None:
    found = cli("import-results all runs/ann.csv runs/bob.csv --create-experts --json").json
    assert (found["read"], found["scored"], found["created"]) == (12, {"ann": 6, "bob": 6}, ["ann", "bob"])
    assert [(one["file"], one["new_queries"]) for one in found["sources"]] == [("ann.csv", 6), ("bob.csv", 0)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import-results ann runs/ann.csv --create-experts", "--create-experts is for import-results all"),
        ("import-results all ''", "a path is empty"),
        ("import-results all runs/ann.csv --map score", "write COLUMN=NAME"),
        ("import-results all runs/ann.csv --metric acc", "--metric is not for files of the format table"),
    ],
)
def test_options_that_do_not_fit_are_refused(cli: Cli, line: str, message: str) -> None:
    ended = cli(line)
    assert ended.code == 2
    assert message in ended.err


def test_a_column_of_another_name(cli: Cli) -> None:
    path = Path("runs/ann.csv")
    path.write_text(path.read_text().replace("score", "acc_norm"))
    assert cli("import-results all runs/ann.csv --create-experts").code == 1
    assert cli("import-results all runs/ann.csv --create-experts --map score=acc_norm --json").json["read"] == 6


def test_every_file_of_a_run_may_be_named(cli: Cli) -> None:
    write_logs(Path("logs"))
    run = Path("logs/org__chemist-7B")
    ended = cli(f"import-results all {' '.join(map(str, sorted(run.iterdir())))} --create-experts --json")
    assert (ended.code, ended.json["scored"]) == (0, {"org/chemist-7B": 400})
    assert [source["format"] for source in ended.json["sources"]] == ["lm-eval"] * 2


def test_the_runs_of_two_models_are_not_mixed(cli: Cli) -> None:
    write_logs(Path("logs"))
    cli("add-expert one --engine recorded")
    ended = cli("import-results one logs --json")
    assert ended.code == 3
    assert ended.json["scored"] == {"one": 400}
    assert "names its model 'org/geographer-7B', but an earlier file of this command names it 'org/chemist-7B'" in (
        ended.err
    )
