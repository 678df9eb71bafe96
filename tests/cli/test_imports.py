"""The command imports, and its counterpart remove import."""

from __future__ import annotations

from pathlib import Path

import pytest
from console import Cli
from tables import add_experts, bring

from benchcoe_jobs.store.session import Store


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_an_import_is_listed_and_removed(
    store: Store, store_url: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    assert (cli("imports").out, cli("imports --json").json) == ("", {"imports": []})
    add_experts(store, ann=None)
    bring(store, tmp_path, "ann", {"key": "q", "subject": "law", "score": 1})
    [row] = cli("imports --json").json["imports"]
    assert (row["import"], row["file"], row["experts"], row["counts"]["scored"]) == (
        "import-1",
        "rows.jsonl",
        ["ann"],
        {"ann": 1},
    )
    assert "import-1" in cli("imports").out
    gone = "1 score, 1 query, 1 subject, 1 benchmark"
    refused = cli("remove import import-1")
    assert refused.code == 2
    assert f"import import-1 ({gone}) would be removed for good: confirm with --yes" in refused.err
    assert cli("remove import 1 --dry-run").out == f"import import-1 would be removed: {gone}\n"
    shown = cli("remove import import-1 --yes --json").json
    assert (shown["kind"], shown["dry_run"], shown["removed"][0]["name"]) == ("import", False, "import-1")
    assert cli("imports --json").json == {"imports": []}
