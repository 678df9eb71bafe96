"""docs/formats.md against the registry and the samples: each command of its table is run, each message is tested."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from import_cases import CASES

from benchcoe_jobs import registry
from benchcoe_jobs.cli.main import execute
from benchcoe_jobs.store.session import connect

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- formats -->\n")[2].partition("\n\n")[0]
ROWS = {
    cells[1].strip(" `"): [cell.strip() for cell in cells[2:5]]
    for cells in (re.split(r"(?<!\\)\|", line) for line in TABLE.splitlines()[2:])
}
over_rows = pytest.mark.parametrize("form", ROWS)


def test_the_table_has_every_format() -> None:
    assert list(ROWS) == registry.names("importers")


@over_rows
def test_the_command_imports_a_sample(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = next(case for case in CASES if case.form == form)
    path = case.copy_to(tmp_path / "sample")
    monkeypatch.chdir(tmp_path)
    values = {"PATH": str(path), "EXPERT": "the model", "NAME": "toy"}
    words = [values.get(word, word) for word in ROWS[form][0].strip("`").split()]
    for line in (["init"], ["add-expert", "the model", "--engine", "recorded"]):
        assert execute(line) == 0
    with closing(connect("sqlite:///benchcoe.db")) as store:
        case.store_queries(store)
    assert execute(words) == 0, capsys.readouterr().err
    assert f"taken for {form}, because " in capsys.readouterr().out


@over_rows
def test_the_messages_are_tested(form: str) -> None:
    stated = re.findall(r"\(`(.+?)`\)", ROWS[form][2])
    assert sorted(stated) == sorted(message for case in CASES if case.form == form for message in case.refused)
