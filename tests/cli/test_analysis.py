"""The commands audit, build-labels --policy, whatif and experiment, end to end."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from console import Cli

N = 400


@pytest.fixture
def prepared_cli(cli: Cli, tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A store with four experts that find the same questions hard. The log of cat is that of four workers."""
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    subjects = ["ships" if i < N / 2 else "towers" for i in range(N)]
    hard = [rng.random() for _ in range(N)]
    skills = {"ann": (0.75, 0.6), "bob": (0.4, 0), "cat": (0.6, 0.2), "dan": (0.45, 0.45)}
    scores: dict[str, list[int]] = {}
    for name, skill in skills.items():
        scores[name] = [
            int(0.7 * h + 0.3 * rng.random() < skill[s == "towers"]) for h, s in zip(hard, subjects, strict=True)
        ]
        if name == "bob":  # equal to ann at towers except for one training question
            scores[name][N // 2 :] = scores["ann"][N // 2 :]
            scores[name][next(i for i in range(N // 2, N) if i % 3 != 2 and not scores["ann"][i])] = 1
        log = [i for worker in range(4) for i in range(worker, N, 4)] if name == "cat" else range(N)
        rows = [
            {
                "key": str(i),
                "text": f"Of {subjects[i]}, case {i}?",
                "subject": subjects[i],
                "score": scores[name][log[i]],
            }
            | {"split": "test" if i % 3 == 2 else "train"}
            for i in range(N)
        ]
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        assert cli(f"add-expert {name} --engine recorded --cost {len(name) + ord(name[0])}").code == 0
        assert cli(f"import-results {name} {name}.jsonl --benchmark toy").code == 0
    return cli


def test_the_command_of_a_finding_repairs_it(prepared_cli: Cli) -> None:
    found = prepared_cli("audit")
    assert found.code == 3
    assert (
        found.err == "Error: 1 error among 2 findings: figures are wrong until the command of each error has been run\n"
    )
    first, command, *_ = found.out.splitlines()
    assert first.startswith("error: toy, cat: its scores do not correlate with those of ann, bob and dan")
    assert command.strip() == "benchcoe-jobs audit --benchmark toy --repair order --expert cat"

    repaired = prepared_cli(command.strip().removeprefix("benchcoe-jobs "))
    assert repaired.code == 0, repaired.err
    assert "scores of cat assigned to other questions (the log of 4 workers, gathered)" in repaired.out
    undo = "audit --benchmark toy --undo order --expert cat"
    assert repaired.err == f"to undo: benchcoe-jobs {undo}\n"
    undone = prepared_cli(undo)
    assert (undone.code, "of cat moved back, as before the repair; the labels are updated" in undone.out) == (0, True)
    assert prepared_cli("audit").out == found.out
    assert prepared_cli(command.strip().removeprefix("benchcoe-jobs ")).code == 0
    again = prepared_cli("audit --json")
    assert again.code == 0
    assert [finding["kind"] for finding in again.json["findings"]] == ["never right"]
    assert prepared_cli(command.strip().removeprefix("benchcoe-jobs ")).code == 2


def test_policies(prepared_cli: Cli) -> None:
    labels = {
        policy: {
            row["subject"]: row
            for row in prepared_cli(f"build-labels --level subject --policy {policy} --json").json["labels"]
        }
        for policy in ("best", "cheapest-of-tied", "abstain")
    }
    assert {s: row["expert"] for s, row in labels["best"].items()} == {"ships": "ann", "towers": "bob"}
    for policy in (
        "cheapest-of-tied",
        "abstain",
    ):  # bob's lead at towers is not significant; ann is cheaper and the best single expert
        row = labels[policy]["towers"]
        assert (row["expert"], row["rank"]) == ("ann", 2)
        assert row["margin"] < 0
        assert labels[policy]["ships"]["expert"] == "ann"

    for policy in ("best", "abstain"):
        assert prepared_cli(f"train-router {policy} --policy {policy}").code == 0
    assert {row["router"]: row["policy"] for row in prepared_cli("routers --json").json["routers"]} == {
        "best": "best",
        "abstain": "abstain",
    }
    assert {row["policy"]: row["stale"] for row in prepared_cli("labels --json").json["labels"]} == dict.fromkeys(
        labels, 0
    )
    assert prepared_cli("route --router best 'Of towers, case 7?'").out.startswith("bob  (best on towers")
    Path("a.png").write_bytes(b"a picture")
    with_picture = prepared_cli("route --router best --image a.png --image a.png 'Of towers, case 7?'")
    assert with_picture.out.startswith("bob  (best on towers"), "no expert is known to be blind"
    assert "a.txt: cannot be read" in prepared_cli("route --router best --image a.txt 'Of towers?'").err
    assert "--image is of the question" in prepared_cli("route --router best --image a.png --input q.jsonl").err
    routed = prepared_cli("route --router abstain 'Of towers, case 7?'").out
    assert routed.startswith("ann  (not significantly worse than the best")
    rejected = prepared_cli("build-labels --level query --policy abstain")
    assert (rejected.code, "--level subject" in rejected.err) == (2, True)
    rejected = prepared_cli("train-router q --level query --policy cheapest-of-tied")
    assert (rejected.code, "--level subject" in rejected.err) == (2, True)


def test_whatif(prepared_cli: Cli) -> None:
    result = prepared_cli("whatif --drop bob")
    assert result.code == 0
    assert "by subject label" in result.out
    assert result.out.splitlines()[-1].startswith("pool all without bob: toy, split test, n = 133.")
    assert prepared_cli("whatif --split train --add ann").code == 2


def test_an_experiment_continues_where_it_stopped(prepared_cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        'benchmark = "toy"\nprotocols = ["in-distribution"]\n[pools]\nall = []\n[[routers]]\nname = "by subject"\n'
    )
    first = prepared_cli("experiment small.toml --json --quiet")
    assert first.code == 0, first.err
    assert (first.json["done_now"], first.json["done_before"]) == (1, 0)
    [row] = first.json["rows"]
    assert row["accuracy"] - row["best_single"] == pytest.approx(row["gain"])
    second = prepared_cli("experiment small.toml")
    assert "0 trials done now, 1 done before" in second.out
    assert "| in-distribution | all | by subject | 133 |" in (tmp_path / "small" / "table.md").read_text()


USAGE_ERRORS = {
    "audit --repair order": (2, "--repair order or --undo order, and --expert NAME go together"),
    "audit --undo order": (2, "--repair order or --undo order, and --expert NAME go together"),
    "audit --expert ann": (2, "--repair order or --undo order, and --expert NAME go together"),
    "audit --undo order --repair order --expert ann": (2, "give --repair or --undo, not both"),
    "audit --undo order --expert ann": (2, "nothing to undo"),
    "audit --undo duplicates": (2, "nothing to undo"),
    "audit --repair duplicates": (2, "nothing to repair"),
    "audit --benchmark none": (2, "unknown benchmark"),
    "experiment none.toml": (1, "cannot be read"),
    "experiment ann.jsonl": (1, "not valid TOML"),
    "whatif": (2, "--add or --drop"),
}


def test_usage_errors_end_with_one_line(prepared_cli: Cli) -> None:
    for line, (code, message) in USAGE_ERRORS.items():
        ended = prepared_cli(line)
        assert (ended.code, ended.err.count("\n")) == (code, 1), line
        assert message in ended.err
