"""The commands profile --repeat and verify-expert against an endpoint that changes its model, and the warnings."""

from __future__ import annotations

from pathlib import Path

import pytest
import skill_endpoint
from console import Cli

from benchcoe_jobs.demo.questions import write_questions


def test_an_endpoint_that_changes_its_model(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_questions(Path("skills.jsonl"), 30)
    cli("init")
    cli("add-benchmark skills skills.jsonl")
    with skill_endpoint.serving(Path("skills.jsonl")) as endpoint:
        for name, model in (("ann", "red"), ("bob", "green")):
            cli(f"add-expert {name} --engine openai --model {model} --base-url {endpoint.url} --no-profile")
            assert cli(f"profile {name}").code == 0
        repeated = cli("profile ann --repeat 40")
        assert "skills: of 40 queries that were asked again, 40 have the same answer" in repeated.out
        assert cli("train-router r --max-fallback 0").err == ""
        same = cli("verify-expert ann --json")
        assert (same.code, same.json["verdict"], same.json["is_measured"]) == (0, "same", True)

        monkeypatch.setitem(skill_endpoint.KNOWS, "red", skill_endpoint.KNOWS["green"])
        drifted = cli("verify-expert ann")
        assert (drifted.code, drifted.out.startswith("ann has changed: ")) == (3, True), drifted.err
        assert "`benchcoe-jobs retire ann`" in drifted.err
        assert cli("labels --json").json["labels"][0]["stale"] == 3
        for line in ("route 'How many?'", "evaluate r", "train-router again"):
            assert "note: ann is not the expert that was profiled" in cli(line).err
        cli("retire ann")
        assert "not the expert" not in cli("train-router again").err
    assert cli("verify-expert carl").code == 2
