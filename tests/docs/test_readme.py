"""The commands of README.md that start from logs of lm-eval print what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval_logs import write_logs
from page_commands import commands_of, printed_by

PAGE = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## You have lm-eval logs of two models\n")[2].partition("\n## ")[0]


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_logs_of_two_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_logs(Path("results"))
    commands = commands_of(SECTION)
    assert len(commands) == 6
    for command, shown, printed in printed_by(commands, capsys):
        assert lines(printed) == lines(shown), command
