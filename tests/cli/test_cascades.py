"""A cascade on the command line: trained, evaluated and shown, and refused where one decision is needed."""

from __future__ import annotations

from pathlib import Path

import cascade_world
import pytest
from console import Cli
from prompt_files import chat, write

from benchcoe_jobs.store.session import open_store


def test_a_day_with_a_cascade(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'b.db'}"
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", url)
    monkeypatch.setenv("BENCHCOE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cli("init").code == 0
    store = open_store(url)
    cascade_world.fill(store, tmp_path)
    store.close()
    assert "choose level query" in cli("train-router c --kind cascade --level subject").err
    trained = cli("train-router c --kind cascade")
    assert "note: it asks in this order, by quality weight: " in trained.err
    assert "Learned from 160 of 160 queries" in trained.err
    shown = cli("evaluate c --quality-weight 0.85")
    assert "cascade: " in shown.out
    assert " answers to a query; stopped " in shown.out
    assert "over the best mix of its text router and single experts at the same cost" in shown.out
    assert cli("evaluate c --quality-weight 0.85 --json").json["cascade"]["mean_answers"] > 1
    assert "is asked first, then perhaps" in cli("route 'how many apples' --quality-weight 0.85").out
    write(tmp_path / "in.jsonl", chat(1, "how many apples"))
    for line in ("submit in.jsonl", "train-router c --extend", "export openai-batch --router c --out x"):
        refused = cli(line)
        assert refused.code != 0
        assert refused.err.count("\n") == 1
        assert "router 'c' is a cascade" in refused.err
