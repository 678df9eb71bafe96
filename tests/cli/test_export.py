"""The command export, over all formats."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from console import Cli
from export_worlds import SECRET, encoder_folder, fill, train

from benchcoe_jobs.cli.export import CONTENTS
from benchcoe_jobs.services.export import table_rows
from benchcoe_jobs.services.export.base import FORMATS
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import connect

OPTIONS = {"litellm": "--endpoints endpoints.toml --encoder {encoder}", "routerarena": "--router r --data data.json"}
"""Format -> what else it needs."""


@pytest.fixture(autouse=True)
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    store = connect(f"sqlite:///{tmp_path / 'benchcoe.db'}")
    upgrade(store)
    fill(store, {"ann": (1.0, 0.2), "bob": (0.5, 0.8)})
    train(store, tmp_path / ".benchcoe")
    store.close()
    Path("endpoints.toml").write_text('[embedder]\nurl = "http://127.0.0.1:9000/v1"\nmodel = "m"\n')
    Path("data.json").write_text('[{"global index": "MMLU_1", "prompt_formatted": "a law question"}]')


def test_what_a_table_holds_is_what_the_option_offers() -> None:
    assert tuple(table_rows.CONTENTS) == CONTENTS


def test_every_format_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")
    table = page.partition("| `--out` |")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == FORMATS
    sections = re.findall(r"^## ([\w-]+)$", page, re.MULTILINE)
    assert sorted(sections) == sorted(FORMATS)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_writes_private_new_files_without_secrets(cli: Cli, tmp_path: Path, form: str) -> None:
    out = tmp_path / ("out.csv" if form == "table" else "out")
    scope = "" if form == "routerarena" else "--benchmark toy"
    others = OPTIONS.get(form, "").replace("{encoder}", encoder_folder() if form == "litellm" else "")
    line = f"export {form} {scope} {others} --out {out}"
    done = cli(f"{line} --json")
    assert (done.code, done.json["format"], done.json["out"]) == (0, form, str(out)), done.err
    files = [path for path in [out, *out.rglob("*")] if path.is_file()]
    assert files
    for path in files:
        assert path.stat().st_mode & 0o777 == 0o600
        content = path.read_bytes()
        assert content
        assert SECRET.encode() not in content
        assert b"\x1b" not in content
    again = cli(line)
    assert again.code == 2
    assert "an export replaces nothing" in again.err
    assert not list(tmp_path.glob(".benchcoe-*"))


def test_a_single_file_goes_to_stdout(cli: Cli) -> None:
    done = cli("export table --what subject-labels")
    assert done.code == 0
    assert done.out.splitlines()[1].startswith("toy,law,train,ann,1.0,20,0.5,1,1,measured,best,")
    assert "2 rows of subject labels of pool all" in done.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("export table --json", "name a new file with --out"),
        ("export every-eval-ever", "has several files: name a new folder with --out"),
        ("export openai-batch --policy best --out out", "--policy is not an option of format openai-batch"),
        ("export table --policy best", "--policy is for subject labels, not for scores"),
        ("export table --training", "--training is not an option of format table"),
        ("export table --out scores.xlsx", "a table is one of .csv, .jsonl, .parquet: --out ends with '.xlsx'"),
        ("export table --what decisions", "decisions are those of a router: name one with --router"),
        ("export table --pool none", "unknown pool 'none'"),
        ("export vllm-sr --map missing.toml", "missing.toml"),
        ("export vllm-sr --out missing/config.yaml", "folder missing does not exist"),
    ],
)
def test_one_line_says_what_is_wrong(cli: Cli, line: str, message: str) -> None:
    done = cli(line)
    assert done.code in (1, 2)
    assert done.out == ""
    assert message in done.err
    assert done.err.count("\n") == 1
