"""The commands end to end, on both databases, and their output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import chdir
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import fmean

import pytest
from console import Cli, rows_of, run
from synthetic import COSTS, NEWCOMER, STARTERS, write_results

from benchcoe_jobs.cli.main import COMMANDS, execute, main

SUBJECTS = {"arithmetic", "units", "sorting", "spelling", "dates", "comparison"}
ENGINE_STORE = "sqlite:///engine.db"


# --- the imported results, read without the program ----------------------------------------------


def split_of(text: str) -> str:
    """60/10/30 by the SHA-256 of the content: no choices, then the text with its length."""
    share = int(sha256(f"0:{len(text)}:{text}".encode()).hexdigest()[:8], 16) % 100
    return "train" if share < 60 else "validation" if share < 70 else "test"


class Results:
    """The content of the JSONL files: score[key][expert], text[key] and subject[key]."""

    def __init__(self, *files: Path) -> None:
        self.score: dict[str, dict[str, float]] = defaultdict(dict)
        self.text: dict[str, str] = {}
        self.subject: dict[str, str] = {}
        for line in "".join(file.read_text() for file in files).splitlines():
            row = json.loads(line)
            self.score[row["key"]][row["expert"]] = row["score"]
            self.text[row["key"]], self.subject[row["key"]] = row["text"], row["subject"]

    def keys(self, split: str) -> list[str]:
        return [key for key, text in self.text.items() if split_of(text) == split]

    def mean(self, expert: str, keys: list[str]) -> float:
        return fmean(self.score[key][expert] for key in keys)

    def best(self, keys: list[str]) -> str:
        return max(self.score[keys[0]], key=lambda expert: self.mean(expert, keys))

    def by_subject(self, keys: list[str]) -> dict[str, list[str]]:
        groups = defaultdict(list)
        for key in keys:
            groups[self.subject[key]].append(key)
        return groups


@pytest.fixture
def session(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Cli:
    """A folder with a store, three experts and their results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", store_url)
    write_results(STARTERS, Path("starters.jsonl"))
    write_results([NEWCOMER], Path("newcomer.jsonl"))
    for name in STARTERS:
        assert cli(f"add-expert {name} --engine recorded --cost {COSTS[name]}").code == 0
    assert cli("import-results all starters.jsonl").code == 0
    return cli


def chosen_experts(cli: Cli, router: str, results: Results, keys: list[str]) -> dict[str, str]:
    """The expert that the router chooses for each key."""
    lines = [json.dumps({"id": key, "question": results.text[key]}) for key in keys]
    Path("questions.jsonl").write_text("\n".join(lines))
    answers = map(json.loads, cli(f"route --router {router} --input questions.jsonl --json").out.splitlines())
    return {answer["id"]: answer["expert"] for answer in answers}


@pytest.mark.parametrize("level", ["subject", "query"])
def test_an_evaluation_equals_one_by_hand(session: Cli, level: str) -> None:
    results = Results(Path("starters.jsonl"))
    test, train = results.keys("test"), results.keys("train")
    assert session(f"train-router r --level {level}").code == 0

    report = session("evaluate r --json").json

    chosen = chosen_experts(session, "r", results, test)
    best = results.best(train)
    subjects = results.by_subject(test).values()
    routed = fmean(results.score[key][chosen[key]] for key in test)
    by_hand = {
        "router": "r",
        "benchmark": "synthetic",
        "split": "test",
        "in_sample": False,
        "n": len(test),
        "accuracy": routed,
        "best_single": {"expert": best, "accuracy": results.mean(best, test)},
        "random": fmean(results.mean(expert, test) for expert in STARTERS),
        "subject_oracle": sum(max(results.mean(e, keys) for e in STARTERS) * len(keys) for keys in subjects)
        / len(test),
        "oracle": fmean(max(results.score[key].values()) for key in test),
        "calls": {expert: count / len(test) for expert, count in Counter(chosen.values()).items()},
    }
    for name, value in by_hand.items():
        assert report[name] == pytest.approx(value) if isinstance(value, float) else report[name] == value, name
    assert report["gain"]["value"] == pytest.approx(routed - results.mean(best, test))
    assert report["gain"]["low"] < report["gain"]["value"] < report["gain"]["high"]
    assert routed > report["best_single"]["accuracy"], "the synthetic experts differ enough for a router to gain"

    naive = session("evaluate r --split train --json")
    assert (naive.json["in_sample"], naive.json["distribution"]) == (True, "naive")
    assert "in-sample" in naive.json["warnings"][0]
    assert "IN-SAMPLE" in session("evaluate r --split train").out


def test_decisions_are_stored_once(session: Cli, store_url: str) -> None:
    n = len(Results(Path("starters.jsonl")).keys("test"))
    session("train-router r")
    for _ in range(2):
        assert session("evaluate r").code == 0
        rows = rows_of(store_url)
        assert (len(rows["evaluation"]), len(rows["decision"])) == (1, n)


def test_decisions_are_stored_before_their_outcomes_are_read(
    session: Cli, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchcoe_jobs.store.routing import evaluations

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    session("train-router r")
    monkeypatch.setattr(evaluations, "outcomes", crash)
    assert session("evaluate r").code == 130
    assert rows_of(store_url)["decision"]


def test_a_newcomer_needs_no_retraining(session: Cli) -> None:
    results = Results(Path("starters.jsonl"), Path("newcomer.jsonl"))
    test, train = results.keys("test"), results.keys("train")

    def labels() -> dict[str, str]:
        built = session("build-labels --level subject --json").json
        return {row["subject"]: row["expert"] for row in built["labels"]}

    before = labels()
    assert before.keys() == SUBJECTS
    assert session("build-labels --level query --json").json["n"] == len(train)
    session("train-router by-subject --level subject")
    session("train-router by-query --level query")
    chosen = {name: chosen_experts(session, name, results, test) for name in ("by-subject", "by-query")}

    session(f"add-expert {NEWCOMER} --engine recorded")
    assert session(f"import-results {NEWCOMER} newcomer.jsonl --json").json["scored"] == {NEWCOMER: 1200}

    stale = {row["level"]: row["stale"] for row in session("labels --json").json["labels"]}
    moved = {subject for subject, keys in results.by_subject(train).items() if results.best(keys) == NEWCOMER}
    assert {"dates", "comparison"} <= moved < SUBJECTS
    assert stale["subject"] == len(moved)
    assert stale["query"] > 0
    assert labels() == {subject: NEWCOMER if subject in moved else best for subject, best in before.items()}

    now = chosen_experts(session, "by-subject", results, test)
    assert NEWCOMER not in chosen["by-subject"].values()
    gone = {key for key in test if now[key] != chosen["by-subject"][key]}
    assert {now[key] for key in gone} == {NEWCOMER}
    assert fmean(results.subject[key] in moved for key in gone) > 0.95

    assert chosen_experts(session, "by-query", results, test) == chosen["by-query"], (
        "a query-level router has no head for the newcomer yet"
    )
    extended = session("train-router by-query --extend --json").json
    assert (extended["new_outputs"], len(extended["outputs"])) == ([NEWCOMER], 4)
    now = chosen_experts(session, "by-query", results, test)
    assert NEWCOMER in now.values()
    assert {key for key in test if now[key] != NEWCOMER and now[key] != chosen["by-query"][key]} == set()


def test_the_same_import_twice_changes_nothing(session: Cli, store_url: str) -> None:
    session("build-labels --level query")
    before = rows_of(store_url)
    again = session("import-results all starters.jsonl --json")
    assert (again.code, again.json["scored"], again.json["unchanged"]) == (0, {}, 3600)
    assert session("build-labels --level query --json").json["created"] is False
    assert session("init --json").json["state"] == "unchanged"
    assert session("add-expert librarian --engine recorded --cost 1 --json").json["added"] is False
    assert rows_of(store_url) == before


# --- output --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store with results and a router, and a store with an expert that has an engine."""
    folder = tmp_path_factory.mktemp("prepared")
    with chdir(folder):
        row = {
            "sentence": "Ann saw Bob because _ looked.",
            "option1": "Ann",
            "option2": "Bob",
            "answer": "1",
            "qID": "1",
        }
        Path("dev.jsonl").write_text(json.dumps(row))
        for line in (
            "init",
            "add-benchmark winogrande dev.jsonl",
            "add-expert tiny --engine transformers --model owner/tiny --no-profile",
        ):
            assert execute([*line.split(), "--database-url", ENGINE_STORE, "--quiet"]) == 0
        write_results(STARTERS, Path("starters.jsonl"))
        write_results([NEWCOMER], Path("newcomer.jsonl"))
        experts = [f"add-expert {name} --engine recorded --cost {COSTS[name]:g}" for name in COSTS]
        imports = ["import-results all starters.jsonl", f"import-results {NEWCOMER} newcomer.jsonl"]
        for line in ("init", *experts, *imports, "train-router by-subject"):
            assert execute([*line.split(), "--quiet"]) == 0
    return folder


@pytest.fixture
def inside(prepared: Path) -> Iterator[None]:
    with chdir(prepared):
        yield


IMPORT = (
    "benchmarks claims completed created differing_scores disagreements file format import_name new_queries notes read "
    "rules scored skipped unchanged why"
)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("init", "before database schema state"),
        ("doctor", "checks"),
        (
            "add-benchmark synthetic more.csv",
            IMPORT,
        ),
        ("benchmarks", "benchmarks"),
        ("add-expert librarian --engine recorded --cost 1", "added changed expert profile"),
        ("experts", "experts"),
        ("retire newcomer --restore", "expert retired"),
        ("add-pool two librarian calculator", "experts pool"),
        ("pools", "pools"),
        (
            "import-results newcomer newcomer.jsonl",
            IMPORT.replace("notes", "not_read notes").replace("skipped", "skipped sources"),
        ),
        (
            "import-scores librarian scores.csv",
            IMPORT,
        ),
        (f"profile tiny --dry-run --database-url {ENGINE_STORE}", "benchmarks dry_run expert"),
        (
            f"rescore winogrande --database-url {ENGINE_STORE}",
            "benchmark changed dry_run query_flips scored subject_flips",
        ),
        (
            "build-labels --level subject",
            "benchmark created early_stops fingerprint imported labels left_out level min_coverage policy pool split",
        ),
        ("labels", "labels"),
        ("audit", "findings"),
        (
            "train-router r --pool two",
            "auto_weight benchmark cascade fallback history kind label_set level n new_outputs outputs "
            "pool router split",
        ),
        ("routers", "routers"),
        ("evaluate by-subject", ""),
        ("experiment stages.toml", "done_before done_now failed files rows"),
        (
            "whatif --drop newcomer",
            "added after before benchmark change dropped gaps n pool split trained_on without_scores",
        ),
        ("worth", "benchmark chosen cost_ratio gain n oracle pool split verdict"),
        (
            "report",
            "benchmark calibrations changes experts findings jobs labels made_at pool provenance stages verdict",
        ),
        ("route --router by-subject 'Is 3 smaller than 4?'", "confidence expert familiarity fell_back subject why"),
    ],
    ids=lambda value: value.split()[0] if value else "",
)
def test_json_is_the_only_output_on_stdout(cli: Cli, line: str, keys: str) -> None:
    Path("scores.csv").write_text("benchmark,subject,score\nsynthetic,dates,0.5\n")
    Path("more.csv").write_text("text,subject,split\nWhich day follows the 31st?,dates,validation\n")
    Path("stages.toml").write_text(
        'benchmark = "synthetic"\nprotocols = ["in-distribution"]\n[pools]\nall = []\n[[routers]]\nname = "r"\n'
    )
    ended = cli(f"{line} --json")
    assert ended.code == 0, ended.err
    assert ended.out.count("\n") == 1
    assert not keys or sorted(ended.json) == keys.split()
    assert cli(f"{line} --json --quiet").err == ""


def test_the_json_of_every_command_is_tested() -> None:
    [mark] = [mark for mark in test_json_is_the_only_output_on_stdout.pytestmark if mark.name == "parametrize"]
    # test_quickstart.py tests the quickstart, test_job.py those of jobs, test_serve.py serve and policy-estimate;
    # test_remove.py, test_imports.py and test_export.py test those in their names, as do test_subjects.py, test_seal.py
    # and test_verify_expert.py.
    of_jobs = {"submit", "results", "jobs", "status", "watch", "cancel", "retry"}
    own_file = of_jobs | {"quickstart", "serve", "policy-estimate", "worker", "broker", "remove", "imports", "export"}
    own_file |= {"add-subjects", "verify-seal", "verify-expert"}
    assert {line.split()[0] for line, _ in mark.args[1]} == set(COMMANDS) - own_file


@pytest.mark.parametrize("name", COMMANDS)
def test_help(cli: Cli, name: str) -> None:
    ended = cli(f"{name} --help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: benchcoe-jobs {name} ")
    needs_no_store = name in ("quickstart", "verify-seal")  # one creates its own, one reads files
    of_store = () if needs_no_store else ("--database-url", "--home")
    for option in ("--json", "--quiet", "--debug", *of_store):
        assert option in ended.out
    command = main.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert (command.help or "").splitlines()[0] == COMMANDS[name][1], (
        "the list of commands has the summary of the command"
    )


def test_the_list_of_commands_imports_only_click() -> None:
    heavy = ["sqlalchemy", "alembic", "numpy", "scipy", "sklearn", "rich", "torch", "redis", "safetensors"]
    program = (
        "import sys\n"
        f"sys.modules |= dict.fromkeys({heavy}, None)\n"  # None: an import raises
        "from benchcoe_jobs.cli.main import execute\n"
        "code = execute(sys.argv[1:])\n"
        "print(*sorted(name for name in sys.modules if name.startswith('benchcoe_jobs')), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True)
    listed = ended.stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == list(COMMANDS)
    assert ended.stderr.split() == [
        "benchcoe_jobs",
        "benchcoe_jobs.characters",
        "benchcoe_jobs.cli",
        "benchcoe_jobs.cli.main",
        "benchcoe_jobs.cli.output",
        "benchcoe_jobs.errors",
        "benchcoe_jobs.masking",
        "benchcoe_jobs.safe_logging",
    ]


def test_doctor_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("doctor --json")
    found = {check["what"]: check for check in ended.json["checks"]}
    assert ended.code == 0
    assert found["database"]["state"] == "missing"
    assert "benchcoe-jobs init" in found["database"]["detail"]
    assert list(tmp_path.iterdir()) == [], "doctor creates no file"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/x"),
        ("BROKER_URL", "redis://:hunter2@127.0.0.1:1/0"),
        ("BROKER_URL", "redis://ann:hunter2/3@127.0.0.1:6379"),
    ],
)
def test_doctor_reports_what_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"BENCHCOE_{name}", value)
    ended = cli("doctor --json")
    what = "database" if name == "DATABASE_URL" else "broker"
    assert ended.code == 4
    assert [check["what"] for check in ended.json["checks"] if check["state"] == "broken"] == [what]
    assert ended.err == f"Error: not usable: {what}\n"
    assert "hunter2" not in ended.out + ended.err


def test_the_flag_overrides_the_environment_and_the_environment_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli = partial(run, capsys=capsys)

    def used(flag: str = "") -> str:
        return str(cli(f"init --json {flag}").json["database"])

    assert used() == "sqlite:///benchcoe.db"
    Path("benchcoe.toml").write_text('database_url = "sqlite:///file.db"')
    assert used() == "sqlite:///file.db"
    monkeypatch.setenv("BENCHCOE_DATABASE_URL", "sqlite:///environment.db")
    assert used() == "sqlite:///environment.db"
    assert used("--database-url sqlite:///flag.db") == "sqlite:///flag.db"


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("line", ["--help", "experts", "experts --json"])
def test_a_closed_pipe_ends_with_141(line: str) -> None:
    """As with `| head`. click and rich would each exit with 1."""
    command = [sys.executable, "-c", "from benchcoe_jobs.cli.main import run; run()", *line.split()]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")
