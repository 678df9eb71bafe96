"""The commands evaluate --seal and verify-seal, as a user and a stranger give them."""

from __future__ import annotations

from pathlib import Path

import pytest
from console import Cli
from routing_world import fill

from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import connect


def test_seal_and_verify(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = connect("sqlite:///benchcoe.db")
    upgrade(store)
    home = tmp_path / ".benchcoe"
    home.mkdir()
    fill(store, home)
    store.close()
    done = cli("evaluate r --split train --seal seal.json")
    assert (done.code, "sealed: 40 decisions in seal.json" in done.err) == (0, True), done.err
    again = cli("evaluate r --split train --seal seal.json")
    assert (again.code, "a seal is never replaced: name another file" in again.err) == (2, True)
    assert cli("export table --what decisions --router r --split train --out decisions.csv").code == 0
    Path("benchcoe.db").rename("elsewhere.db")
    verified = cli("verify-seal seal.json decisions.csv --json")
    assert (verified.code, verified.json["matches"], verified.json["n"]) == (0, True, 40)
    text = Path("decisions.csv").read_text()
    Path("decisions.csv").write_text(text.replace(",ann,", ",bob,", 1))
    changed = cli("verify-seal seal.json decisions.csv")
    assert (changed.code, "does not match seal.json: the root" in changed.err) == (1, True)
    Path("decisions.csv").write_text("\n".join(text.splitlines()[:20]))
    assert "the file has 19" in cli("verify-seal seal.json decisions.csv").err
    assert "is not a seal" in cli("verify-seal decisions.csv decisions.csv").err
