"""Prices that do not apply to stored answers are named when they are given and when answers are imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from console import Cli


@pytest.fixture
def in_store(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A store in the current folder, and result files with and without token counts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "sqlite:///benchcoe.db")
    for name, more in (("plain", {}), ("counted", {"tokens": 5})):
        rows = [{"key": f"k{i}", "subject": "maps", "split": "train", "score": 1} | more for i in range(3)]
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert cli("init").code == 0
    return cli


@pytest.mark.parametrize(
    ("prices", "file", "missing"),
    [
        ("--price-out 2", "plain", "count of output tokens"),
        ("--price-out 2", "counted", None),
        ("--price-in 2", "counted", "count of input tokens"),
        ("--price-in 2 --price-out 2", "plain", "count of input or output tokens"),
        ("--price-gpu-second 2", "counted", "measured time"),
        ("--cost 2", "plain", None),
    ],
)
def test_prices_without_counts_are_named(in_store: Cli, prices: str, file: str, missing: str | None) -> None:
    """The note comes with the second of the two commands, in either order."""
    assert "prices" not in in_store(f"add-expert ann --engine recorded {prices}").err
    imported = in_store(f"import-results ann {file}.jsonl --benchmark toy")
    assert in_store("add-expert bob --engine recorded").code == 0
    assert "prices" not in in_store(f"import-results bob {file}.jsonl --benchmark toy").err
    priced = in_store(f"add-expert bob --engine recorded {prices}")
    for said, name in ((imported, "ann"), (priced, "bob")):
        assert said.code == 0
        note = (
            f"note: the prices of {name} do not apply to 3 of its 3 scored answers, which have no {missing}: their "
            f"cost is unknown. Set the cost of a query: benchcoe-jobs add-expert {name} --engine recorded --cost COST\n"
        )
        assert said.err == (note if missing else "")


def test_a_cost_beside_prices_is_named(in_store: Cli) -> None:
    assert in_store("add-expert ann --engine recorded --price-out 2 --cost 0.5").code == 0
    assert "output tokens: they cost 0.5 each." in in_store("import-results ann plain.jsonl --benchmark toy").err


def test_experts_show_their_prices(in_store: Cli) -> None:
    assert in_store("add-expert ann --engine recorded --price-in 2 --price-out 8 --price-gpu-second 0.01").code == 0
    [row] = in_store("experts --json").json["experts"]
    assert (row["cost"], row["price_in"], row["price_out"], row["price_gpu_second"]) == (None, 2.0, 8.0, 0.01)
    shown = in_store("experts").out
    assert "price_gpu_second" in shown
    assert "0.01" in shown
