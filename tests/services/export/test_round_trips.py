"""What is exported in the format of another program is imported again with the same results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from console import Cli
from export_worlds import fill, train
from sqlalchemy import Connection, select

from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store, connect
from benchcoe_jobs.store.tables import Expert, Query, QueryContent, Response, Score, Stratum, Subject


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A filled store in the current folder, and an empty one in other.db."""
    monkeypatch.chdir(tmp_path)
    for name in ("benchcoe.db", "other.db"):
        store = connect(f"sqlite:///{tmp_path / name}")
        upgrade(store)
        store.close()
    store = connect(f"sqlite:///{tmp_path / 'benchcoe.db'}")
    fill(
        store, {"ann": (1.0, 0.2), "bob": (0.5, 0.8)}, rows=[ExpertRow("ann", "recorded"), ExpertRow("bob", "recorded")]
    )
    yield store
    store.close()


def results(connection: Connection, *, with_key: bool = True) -> list[tuple[object, ...]]:
    """Every score with its expert, its query and its response, sorted."""
    rows = connection.execute(
        select(
            Expert.name,
            Subject.name,
            Query.key if with_key else Subject.name,
            Score.value,
            Response.text,
            Response.prompt_tokens,
            Response.completion_tokens,
            *((QueryContent.text, QueryContent.choices, QueryContent.answer) if with_key else (QueryContent.answer,)),
        )
        .join(Score, Score.expert_id == Expert.id)
        .join(Query, Query.id == Score.query_id)
        .join(QueryContent, QueryContent.query_id == Query.id)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .join(Response, (Response.run_id == Score.run_id) & (Response.query_id == Query.id))
    )
    return sorted((tuple(row) for row in rows), key=repr)


@pytest.mark.parametrize(("form", "with_key"), [("every-eval-ever", True), ("llmrouterbench", False)])
def test_exported_results_are_imported_again(here: Store, cli: Cli, tmp_path: Path, form: str, with_key: bool) -> None:
    assert cli(f"export {form} --out out").code == 0
    to = f"--create-experts --json --database-url sqlite:///{tmp_path / 'other.db'}"
    done = cli(f"import-results all out {to}")
    assert done.code == 0, done.err
    assert {source["format"] for source in done.json["sources"]} == {form}
    other = connect(f"sqlite:///{tmp_path / 'other.db'}")
    with here.reading() as connection, other.reading() as again:
        assert results(again, with_key=with_key) == results(connection, with_key=with_key)
    other.close()


def test_exported_labels_and_decisions_agree_with_the_store(here: Store, cli: Cli, tmp_path: Path) -> None:
    train(here, tmp_path / ".benchcoe")
    assert cli("evaluate r").code == 0
    for what in ("query-labels", "decisions"):
        scope = "--router r --split test" if what == "decisions" else ""
        assert cli(f"export table --what {what} {scope} --out {what}.csv").code == 0
        done = cli(f"import-results all {what}.csv --replace --json")
        assert done.code == 0, done.err
        reasons = {row["reason"] for row in done.json["skipped"]}
        assert reasons <= {"neither the row nor the command names its expert: import-results EXPERT does"}, (
            "a query with every expert wrong"
        )


def test_the_answers_to_an_exported_batch_are_scored(here: Store, cli: Cli, tmp_path: Path) -> None:
    fill(here, {"cid": (0.0, 0.0)}, benchmark="mmstar", rows=[ExpertRow("cid", "recorded")])
    assert cli("export openai-batch --benchmark mmstar --pool all --split test --out batch").code == 0
    [path] = [path for path in (tmp_path / "batch").iterdir() if path.name == "cid.jsonl"]
    requests = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = [
        {
            "id": f"r{number}",
            "custom_id": request["custom_id"],
            "response": {
                "status_code": 200,
                "body": {
                    "model": request["body"]["model"],
                    "choices": [{"message": {"role": "assistant", "content": "A" if number % 2 else "B"}}],
                },
            },
            "error": None,
        }
        for number, request in enumerate(requests)
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    done = cli(f"import-results cid answers.jsonl {path} --replace --json")
    assert done.code == 0, done.err
    assert done.json["scored"] == {"cid": len(requests)}
    with here.reading() as connection:
        values = [row[3] for row in results(connection) if row[0] == "cid" and "-test-" in str(row[2])]
    assert sorted(set(values)) == [0.0, 1.0]
    assert sum(map(float, values)) == len(requests) / 2
