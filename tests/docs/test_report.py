"""The commands of docs/report.md print what it shows, on the logs of README.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval_logs import write_logs
from page_commands import commands_of, printed_by

from benchcoe_jobs.cli.main import execute

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def test_every_command_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_logs(Path("results"))
    for line in ("init", "import-results all results --create-experts"):
        assert execute(line.split()) == 0
    capsys.readouterr()
    commands = commands_of(PAGE)
    assert len(commands) == 6
    for command, shown, printed in printed_by(commands, capsys):
        if shown.strip() != "...":
            assert printed.split() == shown.split(), command
    page = Path("changes.html").read_text(encoding="utf-8")
    assert "0 of 2 labels moved" in page
    assert str(tmp_path) not in page, "no folder of this machine is in the file"
