"""Quotes before a profile, and what it took after it."""

from __future__ import annotations

from pathlib import Path

import pytest
import skill_endpoint
from console import Cli

from benchcoe_jobs.demo.questions import write_questions


def test_a_probe_a_quote_and_what_it_took(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_questions(Path("skills.jsonl"), 30)
    cli("init")
    cli("add-benchmark skills skills.jsonl")
    assert (cli("profile ann --quote").code, "unknown expert" in cli("profile ann --quote").err) == (2, True)
    with skill_endpoint.serving(Path("skills.jsonl")) as endpoint:
        prices = "--price-in 1 --price-out 2"
        for name, model in (("ann", "red"), ("bob", "green")):
            cli(f"add-expert {name} --engine openai --model {model} --base-url {endpoint.url} {prices} --no-profile")
        first = cli("profile ann --quote --json")
        assert "nothing is known of ann on skills: a probe asks 20 queries of each" in first.err
        assert first.json["queries"] == 220
        assert first.json["prompt_tokens"] == {"value": 220 * 9, "low": 220 * 9, "high": 220 * 9}
        assert first.json["gpu_hours"] is None
        n_requests = sum(endpoint.seen.values())
        again = cli("profile ann --quote")
        assert "its own 20 answers on skills" in again.out
        assert "time by number of workers: 1: " in again.out
        assert sum(endpoint.seen.values()) == n_requests, "the answers of the probe are kept"
        done = cli("profile ann")
        assert "quoted: 220 queries in " in done.out
        assert "; so far 220 answers in " in done.out
        assert "quoted: 220 queries in " in cli("status 2").out
        assert "1 other expert on skills" in cli("profile bob --quote").out
        assert cli("profile ann --quote --json").json["queries"] == 0


def test_a_run_stops_at_its_highest_cost_and_goes_on(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer costs 0.5, and a micro-batch of the endpoint has at most 64 queries."""
    monkeypatch.chdir(tmp_path)
    write_questions(Path("skills.jsonl"), 60)
    cli("init")
    cli("add-benchmark skills skills.jsonl")
    with skill_endpoint.serving(Path("skills.jsonl")) as endpoint:
        cli(f"add-expert ann --engine openai --model red --base-url {endpoint.url} --no-profile")
        refused = cli("profile ann --max-cost 10")
        assert (refused.code, "the cost of ann is not known" in refused.err) == (2, True)
        cli(f"add-expert ann --engine openai --model red --base-url {endpoint.url} --no-profile --cost 0.5")
        n_before = sum(endpoint.seen.values())
        stopped = cli("profile ann --max-cost 10")
        n_sent = sum(endpoint.seen.values()) - n_before
        assert stopped.code == 0, stopped.err
        assert 20 <= n_sent < 300
        assert f"stopped at the highest cost: {480 - n_sent + 1} queries are left" in stopped.out
        rest = cli("profile ann --json").json
        assert (rest["left"], rest["benchmarks"][0]["reused"] + rest["benchmarks"][0]["answered"]) == (0, 480)
