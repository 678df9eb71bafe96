"""The commands profile, rescore and add-expert with an engine, end to end, also killed and interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_quiz
from console import Cli, accept_interrupts, rows_of

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.store.job_queue.claims import claim
from benchcoe_jobs.store.job_queue.expired_leases import reclaim_stalled
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.session import open_store

ADD_EXPERT = "benchcoe_jobs.cli.expert"
CONSOLE = Path(sys.executable).with_name("benchcoe-jobs")

# The console script, which then prints which heavy packages its own process has imported.
IMPORTS_REPORTED = (
    "import sys\n"
    "from benchcoe_jobs.cli.main import execute\n"
    "code = execute(sys.argv[1:])\n"
    "print({'torch', 'transformers', 'vllm', 'numpy'} & {*sys.modules}, file=sys.stderr)\n"
    "sys.exit(code)"
)


@pytest.fixture
def folder(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a store and the test's plug-ins.

    The choices of --engine are read when its module is imported, so the module is imported again.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    tiny_quiz.install(tmp_path, monkeypatch)
    sys.modules.pop(ADD_EXPERT, None)
    yield tmp_path
    sys.modules.pop(ADD_EXPERT, None)


SQLITE_ONLY = pytest.mark.parametrize("dialect", ["sqlite"])


@SQLITE_ONLY
def test_adding_an_expert_profiles_it_and_the_labels_move(folder: Path, llama: Path, cli: Cli) -> None:
    Path("rival.csv").write_text(
        "subject,score\n" + "".join(f"Activity {number},0.001\n" for number in range(7)),
    )
    tiny_quiz.write_hellaswag(folder / "swag", 28)
    assert cli("add-benchmark hellaswag swag").code == 0
    cli("add-expert rival --engine recorded")
    assert cli("import-scores rival rival.csv --benchmark hellaswag").code == 0

    def labels() -> set[str]:
        built = cli("build-labels --level subject --json").json
        return {row["expert"] for row in built["labels"]}

    assert labels() == {"rival"}
    line = f"add-expert ann --engine logged --model {llama} --batch-size"
    command = [sys.executable, "-c", IMPORTS_REPORTED, *f"{line} 16 --json".split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "set()", "the parent imports no model library, though its engine does"
    added = json.loads(ended.stdout)
    assert added["added"] is True
    assert added["profile"]["loads"] == 1
    assert added["profile"]["benchmarks"][0]["answered"] == 28
    assert "ann" in labels()

    again = cli(f"{line} 16 --json").json
    assert (again["added"], again["profile"]["benchmarks"][0]["answered"]) == (False, 0)
    other = cli(f"{line} 8 --json")
    assert (other.code, "another batch_size" in other.err) == (2, True)
    assert cli("rescore hellaswag --json").json["changed"] == 0


@SQLITE_ONLY
def test_an_imported_expert_gets_an_engine_and_keeps_its_results(folder: Path, cli: Cli, store_url: str) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 30)
    cli("add-benchmark quiz quiz")
    store = open_store(store_url)
    with store.reading() as connection:
        stored = catalog.stored_queries(connection, catalog.find_benchmark(connection, "quiz")[0])
    store.close()
    known = [query for query in stored.values() if query.split == "train"][:5]
    Path("old.csv").write_text("key,subject,score\n" + "".join(f"{q.key},{q.subject},0\n" for q in known))
    cli("add-expert ann --engine recorded")
    assert cli("import-results ann old.csv --benchmark quiz").code == 0
    before = rows_of(store_url)["score"]

    given = cli(f"add-expert ann --engine logged --model {tiny_quiz.LIGHT} --json")
    assert given.code == 0, given.err
    assert given.json["changed"] is True
    [row] = given.json["profile"]["benchmarks"]
    assert (row["queries"], row["answered"], sum(row["rules"].values())) == (25, 25, 25)
    after = rows_of(store_url)["score"]
    assert set(before) <= set(after), "imported scores stay, with their runs"
    assert cli("profile ann --dry-run --json").json["benchmarks"][0]["queries"] == 25

    built = cli("build-labels --level query --min-coverage 0.1 --json").json
    shown = cli("build-labels --level query --min-coverage 0.1")
    assert built["imported"] == {"ann": 5}
    assert "imported scores: ann (5 of " in shown.err


@SQLITE_ONLY
def test_an_expert_behind_an_endpoint_has_settings_of_its_own(folder: Path, cli: Cli, store_url: str) -> None:
    line = "add-expert ann --engine openai --model m --base-url http://test/v1 --no-profile --api chat --no-temperature"
    assert cli(f"{line} --timeout 900 --reasoning keep --accept-model a --accept-model 'b*'").code == 0
    store = open_store(store_url)
    with store.reading() as connection:
        _, ann = experts.read_expert(connection, "ann")
    store.close()
    assert ann.settings == {
        "base_url": "http://test/v1",
        "api": "chat",
        "no_temperature": True,
        "timeout_s": 900.0,
        "reasoning": "keep",
        "accept_model": ["a", "b*"],
    }
    for wrong in ("--timeout 0", "--timeout nan", "--api telepathy", "--reasoning some"):
        assert cli(f"{line} {wrong}").code == 2


def test_an_error_row_ends_with_exit_code_3(folder: Path, cli: Cli, store_url: str) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 12, unanswerable=(5,))
    cli("add-benchmark quiz quiz")
    ended = cli(f"add-expert ann --engine logged --model {tiny_quiz.LIGHT}")
    assert ended.code == 3
    assert "loaded 1 time" in ended.out
    assert "1 query ended in an error" in ended.err
    assert "--retry-errors" in ended.err

    before = rows_of(store_url)
    plan = cli("profile ann --dry-run --retry-errors --json").json["benchmarks"][0]
    assert (plan["reused"], plan["errors"], plan["to_ask"]) == (11, 1, 1)
    assert plan["seconds"] > 0
    assert "estimate" in cli("profile ann --dry-run").out
    assert rows_of(store_url) == before, "a dry run stores nothing"
    assert len(tiny_quiz.engine_pids(folder)) == 1, "and loads nothing"

    (folder / "healed").touch()
    healed = cli("profile ann --retry-errors --json")
    assert (healed.code, healed.json["benchmarks"][0]["answered"]) == (0, 1)


@SQLITE_ONLY
def test_a_failed_shard_ends_with_exit_code_3(folder: Path, cli: Cli, store_url: str) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 300)
    cli("add-benchmark quiz quiz")
    cli(f"add-expert ann --engine logged --model {tiny_quiz.LIGHT} --no-profile")
    store = open_store(store_url)
    with store.writing() as connection:
        submit(connection, "profile", profile_request("ann"))
        for _ in range(MAX_ATTEMPTS):
            assert claim(connection, "a process that was killed", [Queue.GPU], lease_s=-1.0)
            reclaim_stalled(connection)
    store.close()
    ended = cli("profile ann")
    assert (ended.code, "benchcoe-jobs retry 1" in ended.err) == (3, True)
    again = cli("profile ann --json")
    assert (again.code, again.json["benchmarks"][0]["answered"]) == (0, 256)


@SQLITE_ONLY
def test_the_same_command_has_fresh_attempts(folder: Path, cli: Cli, store_url: str) -> None:
    """Three processes were killed before they stored anything, and no other has noticed it."""
    tiny_quiz.write_quiz(folder / "quiz", 300)
    cli("add-benchmark quiz quiz")
    cli(f"add-expert ann --engine logged --model {tiny_quiz.LIGHT} --no-profile")
    store = open_store(store_url)
    with store.writing() as connection:
        submit(connection, "profile", profile_request("ann"))
        for attempt in range(MAX_ATTEMPTS):
            assert claim(connection, f"a process that was killed, {attempt}", [Queue.GPU], lease_s=-1.0)
            if attempt + 1 < MAX_ATTEMPTS:
                reclaim_stalled(connection)
    store.close()
    again = cli("profile ann --json")
    assert (again.code, again.json["benchmarks"][0]["answered"]) == (0, 300)


@SQLITE_ONLY
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_profiling_continues_where_it_stopped(
    folder: Path, cli: Cli, store_url: str, sent: signal.Signals
) -> None:
    n = 70
    tiny_quiz.write_quiz(folder / "quiz", n)
    assert cli("add-benchmark quiz quiz").code == 0
    for name in ("ann", "undisturbed"):
        assert cli(f"add-expert {name} --engine logged --model {tiny_quiz.LIGHT} --no-profile").code == 0
    (folder / "slow").write_text("1.5")
    command = [CONSOLE, "profile", "ann"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=accept_interrupts)
    while len(tiny_quiz.batches(folder)) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(sent)
    _, err = process.communicate(timeout=120)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent), err
    assert sent == signal.SIGKILL or f"64 of {n} stored" in err
    assert len(rows_of(store_url)["response"]) == 64, "the first micro-batch, and nothing of the second"
    (folder / "slow").unlink()
    cut_off = tiny_quiz.batches(folder)[1]

    [done] = cli("profile ann --json").json["benchmarks"]
    assert (done["reused"], done["answered"], done["errors"]) == (0, n, 0), "it is the same job"
    times = Counter(question for batch in tiny_quiz.batches(folder) for question in batch)
    assert len(times) == n
    assert {question for question, count in times.items() if count > 1} == set(cut_off)

    assert cli("profile undisturbed").code == 0
    assert answers(store_url, "ann") == answers(store_url, "undisturbed")
    assert len(answers(store_url, "ann")) == n


def answers(url: str, expert: str) -> list[tuple[object, ...]]:
    """(query, text, score, extracted) of every response of an expert."""
    from sqlalchemy import text

    from benchcoe_jobs.store.session import connect

    store = connect(url)
    with store.reading() as connection:
        rows = connection.execute(
            text(
                "SELECT q.key, r.text, s.value, x.answer FROM response r JOIN run ON run.id = r.run_id"
                " JOIN expert e ON e.id = run.expert_id JOIN query q ON q.id = r.query_id"
                " JOIN score s ON s.query_id = q.id AND s.expert_id = e.id AND s.run_id = run.id"
                " JOIN extraction x ON x.query_id = q.id AND x.expert_id = e.id"
                " WHERE e.name = :expert ORDER BY q.key"
            ),
            {"expert": expert},
        ).all()
    store.close()
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite serialises writers
def test_two_profilings_of_one_expert_at_the_same_time(folder: Path, cli: Cli, store_url: str) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 100)
    cli("add-benchmark quiz quiz")
    cli(f"add-expert ann --engine logged --model {tiny_quiz.LIGHT} --no-profile")
    both = [subprocess.Popen([CONSOLE, "profile", "ann"], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert len(rows_of(store_url)["response"]) == len(answers(store_url, "ann")) == 100
    assert cli("rescore quiz --json").json["changed"] == 0, "every score belongs to the stored response"


@SQLITE_ONLY
@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("add-expert eve --engine magic --model m", 2, "magic"),
        ("add-expert eve --engine transformers", 2, "needs --model"),
        ("add-expert eve --engine recorded --dtype float16", 2, "no setting dtype"),
        ("add-expert eve --engine transformers --model m --batch-size 0", 2, "batch-size"),
        ("profile unknown", 2, "unknown expert 'unknown'"),
        ("profile old", 2, "import-results"),
        ("profile ann --benchmark own", 2, "no prompt and no scorer"),
        ("profile ann --benchmark nowhere", 2, "unknown benchmark"),
        ("profile ann --benchmark quiz", 2, "add-benchmark quiz FOLDER"),
        ("profile ann --limit 0", 2, "limit"),
        ("rescore own", 2, "no scorer"),
        ("add-expert eve --engine transformers --model owner/none --max-model-len 100", 2, "add-benchmark quiz FOLDER"),
    ],
)
def test_usage_errors_change_nothing(
    folder: Path, cli: Cli, store_url: str, line: str, code: int, message: str
) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 5)
    Path("own.csv").write_text("text,subject\nwhat?,things\n")
    assert cli("add-benchmark own own.csv").code == 0
    assert cli("add-benchmark quiz quiz/test.jsonl").code == 0
    assert cli("add-expert old --engine recorded").code == 0
    assert cli("add-expert ann --engine transformers --model owner/none --no-profile").code == 0
    before = rows_of(store_url)
    ended = cli(line)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert rows_of(store_url) == before


@SQLITE_ONLY
def test_a_failed_registration_leaves_the_name_free(folder: Path, cli: Cli) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 5)
    note = cli("add-expert first --engine transformers --model nowhere")
    assert (note.code, "add-benchmark" in note.err) == (0, True), "without a known benchmark it is only registered"
    cli("add-benchmark quiz quiz")
    ended = cli("add-expert eve --engine logged --model no/where/here")
    assert (ended.code, ended.out) == (1, "")
    assert "no/where/here" in ended.err
    [job] = cli("jobs --json").json["jobs"]
    assert (job["state"], "no/where/here" in job["error"]) == ("failed", True)

    added = cli(f"add-expert eve --engine logged --model {tiny_quiz.LIGHT} --json")
    assert (added.code, added.json["profile"]["benchmarks"][0]["answered"]) == (0, 5), added.err
    taken = cli("add-expert eve --engine logged --model another")
    assert (taken.code, "exists with another model" in taken.err) == (2, True)
