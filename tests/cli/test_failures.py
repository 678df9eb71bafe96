"""Failing commands: one line of message, the right exit code, and an unchanged store."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from console import Cli, accept_interrupts, files_in, rows_of
from sqlalchemy import text

from benchcoe_jobs.cli.main import execute
from benchcoe_jobs.store import session
from benchcoe_jobs.store.session import connect

URL = "sqlite:///benchcoe.db"
SECRET = "hunter2"  # noqa: S105 -- not a real password
SUBJECTS = ("colours", "numbers", "plants")


# --- a small store with two experts, scores on train and validation, and two routers ------------------------


def csv(*rows: str, header: str = "benchmark,key,text,subject,score") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def results(skill: int) -> bytes:
    rows = [
        f"toy,{subject}-{number},what about {subject} number {number}?,{subject},{split},{int(number % 5 < skill)}"
        for subject in SUBJECTS
        for number in range(30)
        for split in [("train", "train", "validation")[number % 3]]
    ]
    return csv(*rows, header="benchmark,key,text,subject,split,score")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "ann.csv").write_bytes(results(4))
    (folder / "bob.csv").write_bytes(results(2))
    for line in (
        "init",
        "add-expert ann --engine recorded --cost 1",
        "add-expert bob --engine recorded",
        "add-expert idle --engine recorded",
        "import-results ann ann.csv",
        "import-results bob bob.csv",
        "add-pool pair ann bob",
        "add-pool empty",
        "train-router by-subject --level subject",
        "train-router by-query --level query",
        "add-expert newcomer --engine recorded",
    ):
        with chdir(folder):
            assert execute([*line.split(), "--quiet"]) == 0
    return folder


@pytest.fixture
def workplace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared folder, as the current folder."""
    folder = tmp_path / "workplace"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


# --- the cases -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """The command `line`, run after `arrange`, must exit with `code` and print a message that contains `message`."""

    name: str
    line: str
    code: int
    message: str
    arrange: Callable[[], object] = lambda: None


def file(name: str, content: bytes) -> Callable[[], object]:
    return lambda: Path(name).write_bytes(content)


def zipped(*members: tuple[str, bytes], cut: int = 0, encrypted: bool = False) -> Callable[[], object]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)
    content = stream.getvalue()[: -cut or None]
    if encrypted:  # the flag, in both headers
        content = content.replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0")
        content = content.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
    return file("x.zip", content)


def typed(*lines: str) -> Callable[[], object]:
    return lambda: [execute([*line.split(), "--quiet"]) for line in lines]


def sql(statement: str) -> Callable[[], object]:
    def run() -> None:
        with closing(sqlite3.connect("benchcoe.db")) as database, database:
            database.execute(statement)

    return run


def artifact() -> Path:
    return next(Path(".benchcoe/routers/by-subject").iterdir())


def damage_weights() -> None:
    weights = artifact() / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 0xFF
    weights.write_bytes(content)


def cut_short(name: str) -> Callable[[], object]:
    return lambda: os.truncate(artifact() / name, 100)


BAD_TABLE = "import-results idle x.csv"
BAD_ZIP = "import-results idle x.zip"
BAD_JSON = "import-results idle x.json --format mmlu-pro"
GOOD = "toy,colours-0,,colours,1"
HEADER = "benchmark,key,text,subject,score"


def bad_json(content: bytes, message: str) -> Case:
    return Case(f"JSON {content[:8]!r}", BAD_JSON, 1, message, file("x.json", content))


def bad_row(name: str, row: str, message: str, header: str = HEADER) -> Case:
    return Case(name, BAD_TABLE, 1, message, file("x.csv", csv(row, header=header)))


def bad_score(score: str, message: str) -> Case:
    return bad_row(f"score {score!r}", f"toy,colours-0,,colours,{score}", message)


FILES = [
    Case("no file", "import-results ann none.csv", 1, "none.csv"),
    Case("a folder of nothing", "import-results ann .benchcoe", 1, "no file in it has the form of a known format"),
    Case("a folder of tables", "import-results ann . --format mmlu-pro", 1, ".: a folder"),
    Case(
        "an update of nothing",
        "add-benchmark nosuch x.csv --update",
        2,
        "unknown benchmark 'nosuch'; the store has",
        file("x.csv", b"key,text,subject,answer\n1,Why?,math,A\n"),
    ),
    Case("a job by name", "remove batch abc", 2, "'abc' is not the number of a job: `benchcoe-jobs jobs` lists all"),
    Case("an empty file", BAD_TABLE, 1, "no row", file("x.csv", b"")),
    Case("a header only", BAD_TABLE, 1, "no row", file("x.csv", csv())),
    Case("Latin-1", BAD_TABLE, 1, "not UTF-8", file("x.csv", csv(GOOD, "é").decode().encode("latin-1"))),
    Case("UTF-16", BAD_TABLE, 1, "not UTF-8", file("x.csv", csv(GOOD).decode().encode("utf-16"))),
    Case("a picture", "import-results idle x.png", 1, "must be one of", file("x.png", b"\x89PNG")),
    Case("no Parquet", "import-results idle x.parquet", 1, "not valid Parquet", file("x.parquet", b"PAR1PAR1")),
    Case("no JSON lines", "import-results idle x.jsonl", 1, "broken JSON", file("x.jsonl", b'{"key": \n')),
    Case("a name of two lines", "import-results idle 'a\nb.csv'", 1, "such file"),
    bad_json(b"", "not JSON"),
    bad_json(b'[{"a":]', "not JSON"),
    bad_json(b"[1, 2]", "no row"),
    bad_json(b"[" * 200_000, "too deep"),
    Case("a cut zip", BAD_ZIP, 1, "cut short", zipped(("a.csv", csv(GOOD)), cut=30)),
    Case("a text file named zip", BAD_ZIP, 1, "damaged", file("x.zip", csv(GOOD))),
    Case("a zip bomb", BAD_ZIP, 1, "zip bomb", zipped(("a.csv", bytes(2**22)))),
    Case("an encrypted zip", BAD_ZIP, 1, "encrypted", zipped(("a.csv", csv(GOOD)), encrypted=True)),
    Case("a zip with a parent folder", BAD_ZIP, 1, "unsafe path", zipped(("../a.csv", csv(GOOD)))),
    Case("a zip of two", BAD_ZIP, 1, "2 data files", zipped(("a.csv", b""), ("b.csv", b""))),
    Case("a zip of none", BAD_ZIP, 1, "no data files", zipped(("a.exe", b"MZ"))),
]

ROWS = [
    bad_row("no score", "toy,a,b", "'score'", header="benchmark,key,subject"),
    bad_row("no benchmark", "a,b,1", "'benchmark'", header="key,subject,score"),
    bad_row("a misspelt column", "toy,a,b,1", "'skore'", header="benchmark,key,subject,skore"),
    bad_row("a column twice", "a,a,b,1", "twice", header="key,key,subject,score"),
    bad_score("NaN", "not a finite number"),
    bad_score("inf", "not a finite number"),
    bad_score("1.5", "not between 0 and 1"),
    bad_score("-0.1", "not between 0 and 1"),
    bad_score("50", "divide percentages by 100"),
    bad_score("good", "not a number"),
    bad_score("", "score is empty"),
    bad_row("an unknown subject", "toy,new,why?,animals,1", "unknown subject 'animals'"),
    bad_row("another question", "toy,colours-0,why?,colours,1", "differ"),
    bad_row("another subject", "toy,colours-0,,plants,1", "differs"),
    bad_row("another expert's row", f"{GOOD},bob", "another expert: 'bob'", header=f"{HEADER},expert"),
    bad_row("a negative cost", f"{GOOD},-1", "negative", header=f"{HEADER},cost"),
    Case("scored before", "import-results ann x.csv", 1, "--replace", file("x.csv", csv(f"{GOOD[:-1]}0.5"))),
    Case(
        "no expert named",
        "import-results all x.csv",
        1,
        "neither the row nor the command names its expert",
        file("x.csv", csv(GOOD)),
    ),
    Case(
        "percents", "import-scores idle x.csv --benchmark toy", 1, "divide", file("x.csv", b"subject,score\nplants,61")
    ),
    bad_score("61.2%", "--scale percent"),
    bad_row("a known key in another spelling", "toy,COLOURS_00,,colours,1", "another spelling of a known key"),
    bad_row("an unknown key without a text", "toy,x,,colours,1", "--new-queries"),
    Case("percents that are none", f"{BAD_TABLE} --scale percent", 1, "0 and 100", file("x.csv", csv("toy,a,,b,101"))),
    Case("a scale of another format", f"{BAD_JSON} --scale percent", 2, "--scale is not for", file("x.json", b"[]")),
    Case("a workbook", BAD_ZIP, 1, "ends with .xlsx", zipped(("[Content_Types].xml", b""))),
    Case("an empty list", "import-results idle x.json", 1, "no row", file("x.json", b"[]")),
    Case("JSON of no format", "import-results idle x.json", 1, "form of a known", file("x.json", b'{"a": 1}')),
    Case("a pickle", "import-results idle x.pkl", 1, "run code when it is read", file("x.pkl", b"\x80\x04]\x94.")),
    Case("no subject", "import-scores idle x.csv --benchmark toy", 1, "'law'", file("x.csv", b"subject,score\nlaw,1")),
    Case(
        "a changed query",
        "add-benchmark toy x.csv",
        1,
        "content",
        file("x.csv", b"key,text,subject\nplants-0,no,plants"),
    ),
]

NAMES = [
    Case("a misspelt command", "trane-router x", 2, "trane-router"),
    Case("a misspelt option", "experts --jsno", 2, "--jsno"),
    Case("an argument short", "import-results ann", 2, "PATH"),
    Case("no engine", "add-expert eve", 2, "--engine"),
    Case("unknown expert", "import-results eve ann.csv", 2, "unknown expert 'eve'; known are ann, bob"),
    Case("unknown format", "import-results ann ann.csv --format xml", 2, "xml"),
    Case("unknown benchmark", "build-labels --level subject --benchmark mmlu", 2, "'mmlu'; the store has toy"),
    Case("unknown pool", "build-labels --level subject --pool best", 2, "unknown pool 'best'; known are all"),
    Case("unknown split", "build-labels --level subject --split dev", 2, "dev"),
    Case("unknown router", "evaluate best", 2, "unknown router 'best'; the store has by-query, by-subject"),
    Case("which router", "route 'how many?'", 2, "name one: by-query, by-subject"),
    Case("which benchmark", "build-labels --level subject", 2, "--benchmark: other, toy", lambda: unscored()),
    Case("a taken name", "add-expert ann --engine recorded --model x", 2, "another model"),
    Case("a benchmark without queries", "add-benchmark mmlu-pro", 2, "Give FILE, or --hub"),
    Case("an expert of two lines", "add-expert 'a\nb' --engine recorded", 2, r"'a\nb'"),
    Case("a blank expert", "add-expert ' ' --engine recorded", 2, "printable"),
    Case("an expert all", "add-expert all --engine recorded", 2, "called all"),
    Case("a negative price", "add-expert eve --engine recorded --cost -1", 2, "-1"),
    Case("a price of nan", "add-expert eve --engine recorded --cost nan", 2, "finite"),
    Case("change all", "add-pool all ann", 2, "retire"),
    Case("a pool with an unknown expert", "add-pool duo ann eve", 2, "unknown expert 'eve'"),
    Case("a pool of two lines", "add-pool 'a\nb' ann", 2, "printable"),
    Case("a benchmark of two lines", "import-results idle ann.csv --benchmark 'a\nb'", 2, "printable"),
    Case("retire an unknown expert", "retire eve", 2, "unknown expert 'eve'"),
    Case("a router outside the folder", "train-router ../x", 2, "'../x'"),
]

ROUTE = "route --router by-subject"
EVALUATE = "evaluate by-subject --split train"
SUBMIT = "submit p.jsonl --router by-subject"


def prompts() -> Callable[[], None]:
    body = {"messages": [{"role": "user", "content": "how many?"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return file("p.jsonl", json.dumps(line).encode())


def experiment(pools: str, other: str = "other") -> Callable[[], None]:
    settings = f'benchmark = "toy"\nother_benchmark = "{other}"\nprotocols = ["other-benchmark"]'
    return file("x.toml", f'{settings}\n{pools}\n[[routers]]\nname = "r"\n'.encode())


WORK = [
    Case("nothing scored", "build-labels --level subject --split test", 2, "no scores"),
    Case("an empty pool", "build-labels --level query --pool empty", 2, "no scores"),
    Case("coverage 0", "build-labels --level subject --min-coverage 0", 2, "--min-coverage"),
    Case("coverage 2", "build-labels --level subject --min-coverage 2", 2, "--min-coverage"),
    Case("coverage nan", "build-labels --level subject --min-coverage nan", 2, "finite"),
    Case("one subject", "train-router x --benchmark one", 2, "1 subject", lambda: one_subject()),
    Case("one expert", "train-router x --level query --pool solo", 2, "1 eligible expert", typed("add-pool solo ann")),
    Case("an empty split", "train-router x --split test", 2, "split test"),
    Case("an encoder for words", "train-router x --encoder y", 2, "encoder"),
    Case("no encoder", "train-router x --kind embedding --encoder ./none", 1, "./none"),
    Case("nothing to tune", "train-router x --kind bert --encoder ./none", 1, "./none"),
    Case("no home", "train-router x --home benchcoe.db", 1, "cannot be written"),
    Case("extend by subject", "train-router by-subject --extend", 2, "needs no training"),
    Case("extend with settings", "train-router by-query --extend --pool pair", 2, "leave out --pool"),
    Case("nothing to evaluate", "evaluate by-subject --split test", 2, "split test"),
    Case("no expert to evaluate", "evaluate by-subject --benchmark other", 2, "no query of other", lambda: unscored()),
    Case("no question", ROUTE, 2, "not both"),
    Case("two questions", f"{ROUTE} 'how many?' --input q.jsonl", 2, "not both"),
    Case("no input", f"{ROUTE} --input q.jsonl", 1, "q.jsonl"),
    Case("a broken line", f"{ROUTE} --input q.jsonl", 1, "line 2: not JSON", file("q.jsonl", b'\n{"question"\n')),
    Case("a deep line", f"{ROUTE} --input q.jsonl", 1, "line 1: ", file("q.jsonl", b"[" * 200_000)),
    Case("a line of nothing", f"{ROUTE} --input q.jsonl", 1, "line 2: ", file("q.jsonl", b'{"question": "a"}\n{}')),
    Case("damaged weights", f"{ROUTE} 'how many?'", 1, "train the router again", damage_weights),
    Case(
        "cut weights",
        "evaluate by-subject --split train",
        1,
        "train the router again",
        cut_short("weights.safetensors"),
    ),
    Case("a cut router", "evaluate by-subject --split train", 1, "train the router again", cut_short("router.json")),
    Case("no artifact", f"{ROUTE} 'how many?'", 1, "is not on this machine", lambda: shutil.rmtree(artifact())),
    Case(
        "no expert to fall back to", "train-router x --pool empty", 2, "no best single expert", typed("add-pool empty")
    ),
    Case("missing prices", f"{ROUTE} 'how many?' --max-cost 1", 2, "the cost of bob is not known"),
    Case("results over the store", f"{SUBMIT} --output benchcoe.db", 2, "is not a result file", prompts()),
    Case("results over the prompts", f"{SUBMIT} --output p.jsonl", 2, "is not a result file", prompts()),
    Case("errors over the answers", f"{SUBMIT} --output o.jsonl --errors ./o.jsonl", 2, "name two files", prompts()),
    Case("results in no folder", f"{SUBMIT} --output none/o.jsonl", 2, "folder none does not exist", prompts()),
    Case(
        "no list of experts",
        "experiment x.toml",
        1,
        "one: a list of names of experts",
        experiment('[pools]\none = "ann"'),
    ),
    Case(
        "the same benchmark as other",
        "experiment x.toml",
        1,
        "a benchmark other than",
        experiment('[pools]\none = ["ann"]', "toy"),
    ),
    Case("no artifacts", "train-router by-query --extend", 1, "is not on this", lambda: shutil.rmtree(".benchcoe")),
]

PASSWORDS = f"postgresql://ann:{SECRET}@127.0.0.1"

STORES = [
    Case("no store", "experts --database-url sqlite:///none.db", 1, "benchcoe-jobs init"),
    Case("an empty file", "experts --database-url sqlite:///x.db", 1, "benchcoe-jobs init", file("x.db", b"")),
    Case("no folder", "init --database-url sqlite:///none/x.db", 1, "create it first"),
    Case("no folder to read", "experts --database-url sqlite:///none/x.db", 1, "benchcoe-jobs init"),
    Case("a folder", "experts --database-url sqlite:///.benchcoe", 1, "cannot be opened"),
    Case(
        "no database",
        "experts --database-url sqlite:///x.db",
        1,
        "is not a SQLite database",
        file("x.db", b"<html>" * 999),
    ),
    Case("an old schema", "experts", 1, "to upgrade it", sql("UPDATE alembic_version SET version_num = '0000'")),
    Case(
        "a newer schema", "experts", 1, "upgrade benchcoe-jobs", sql("UPDATE alembic_version SET version_num = '9999'")
    ),
    Case("init on newer", "init", 1, "upgrade benchcoe-jobs", sql("UPDATE alembic_version SET version_num = '9999'")),
    Case("no URL", f"experts --database-url ann:{SECRET}", 2, "cannot be read"),
    Case("another database", f"experts --database-url mysql://ann:{SECRET}@db/x", 2, "'mysql' is not supported"),
    Case("unknown driver", f"experts --database-url postgresql+ann://ann:{SECRET}@db/x", 2, "cannot be read"),
    Case("no port", f"experts --database-url {PASSWORDS}:port/x", 2, "cannot be read"),
    Case("no server", f"experts --database-url {PASSWORDS}:{{port}}/x --debug", 4, "does not answer"),
    Case(
        "no server, option",
        f"experts --database-url 'postgresql://127.0.0.1:{{port}}/x?password={SECRET}'",
        4,
        "does not answer",
    ),
    Case("init, no server", f"init --database-url {PASSWORDS}:{{port}}/x", 4, "does not answer"),
    Case("broken settings", "experts", 1, "not valid TOML", file("benchcoe.toml", b"home = ")),
    Case("unknown setting", "experts", 1, "unknown setting 'databse_url'", file("benchcoe.toml", b'databse_url = "x"')),
    Case("wrong setting", "experts", 1, "home must be a string", file("benchcoe.toml", b"home = 3")),
    Case(
        "an invalid open_broker", "experts", 1, "it must be yes or no", file("benchcoe.toml", b'open_broker = "maybe"')
    ),
    Case("an invalid lease_s", "experts", 1, "a number of seconds", file("benchcoe.toml", b'lease_s = " "')),
    Case("settings in Latin-1", "experts", 1, "not valid TOML", file("benchcoe.toml", 'home = "é"'.encode("latin-1"))),
]


def one_subject() -> None:
    rows = [f"one,{number},what about {number}?,only,train,1" for number in range(9)]
    Path("one.csv").write_bytes(csv(*rows, header="benchmark,key,text,subject,split,score"))
    typed("import-results ann one.csv")()


def unscored() -> None:
    Path("other.csv").write_bytes(csv("new?,colours,test", header="text,subject,split"))
    typed("add-benchmark other other.csv")()


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def error_message(err: str) -> str:
    """The message of an error: one line, except for the usage errors of click."""
    before, start, message = err.rpartition("Error: ")
    assert start, err
    assert "unexpected" not in message, err
    assert before.startswith("Usage: ") or (not before and message.count("\n") == 1), err
    return message


@pytest.mark.parametrize("case", [*FILES, *ROWS, *NAMES, *WORK, *STORES], ids=lambda case: case.name)
def test_a_failing_command_prints_one_line_and_changes_nothing(case: Case, workplace: Path, cli: Cli) -> None:
    case.arrange()
    rows, files = rows_of(URL), files_in(workplace)

    ended = cli(case.line.replace("{port}", str(closed_port())))

    assert ended.code == case.code, ended
    assert not ended.out
    assert SECRET not in ended.err
    err = ended.err[ended.err.rindex("Error: ") :] if "--debug" in case.line else ended.err
    assert case.message in error_message(err)
    assert rows_of(URL) == rows
    assert files_in(workplace) == files


# --- a store that is locked, protected or of another program ---------------------------------------------------


def test_a_store_that_another_process_writes(workplace: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "BUSY_TIMEOUT_S", 0)
    before = rows_of(URL)
    with closing(sqlite3.connect("benchcoe.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ended = cli("add-expert eve --engine recorded")
        reading = cli("experts --json")
    assert (ended.code, reading.code) == (1, 0), "readers do not wait"
    assert "try again" in error_message(ended.err)
    assert rows_of(URL) == before


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as an unprivileged user, because root may read and write everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only(prepared: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Iterator[Path]:
    """The prepared folder without write permission."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        cli("experts")  # lazy imports happen now: the unprivileged user cannot read root's Python
        cli("import-results ann ann.csv")
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("line", ["add-expert eve --engine recorded", "import-results idle bob.csv", "retire ann"])
def test_a_folder_that_cannot_be_written(read_only: Path, cli: Cli, line: str) -> None:
    read_only.joinpath("benchcoe.db").chmod(0o444)
    with unprivileged():
        ended = cli(line)
    assert ended.code == 1
    assert "written" in error_message(ended.err)


def test_a_file_that_cannot_be_read(read_only: Path, cli: Cli) -> None:
    read_only.joinpath("ann.csv").chmod(0o000)
    read_only.joinpath("benchcoe.db").chmod(0o666)
    read_only.chmod(0o777)
    before = rows_of(URL)
    with unprivileged():
        ended = cli("import-results idle ann.csv")
    assert ended.code == 1
    assert "ann.csv: cannot be read: Permission denied" in error_message(ended.err)
    assert rows_of(URL) == before


def test_the_database_of_another_program_stays_as_it_is(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "bookmarks.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE place (url TEXT)")
    before = path.read_bytes()
    ended = cli(f"experts --database-url sqlite:///{path}")
    assert ended.code == 1
    assert "no result store" in error_message(ended.err)
    assert path.read_bytes() == before


# --- a process that is interrupted -----------------------------------------------------------------------------

LARGE = 20_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.csv"
    header = "benchmark,key,text,subject,score"
    path.write_bytes(csv(*(f"big,{n},what is {n}?,subject {n % 20},{n % 2}" for n in range(LARGE)), header=header))
    return path


def is_writing(url: str) -> bool:
    """Whether another process has an open write transaction; on PostgreSQL, whether one waits for a lock."""
    store = connect(url)
    try:
        if not store.is_sqlite:
            with store.reading() as connection:
                return connection.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted")).first() is not None
        database = sqlite3.connect(str(store.engine.url.database), timeout=0, isolation_level=None)
        with closing(database):
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
        return False
    finally:
        store.close()


@contextmanager
def scores_cannot_be_written(url: str) -> Iterator[None]:
    """On PostgreSQL, an import waits when it has written its queries, until the end. On SQLite, it does not."""
    store = connect(url)
    with store.engine.connect() as connection:
        if not store.is_sqlite:
            connection.execute(text("LOCK TABLE score IN SHARE MODE"))
        yield
    store.close()


@pytest.mark.parametrize(
    ("signal_sent", "code", "message"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_import_stores_nothing(
    store_url: str, large: Path, tmp_path: Path, signal_sent: int, code: int, message: str
) -> None:
    console = Path(sys.executable).with_name("benchcoe-jobs")
    options = ["--database-url", store_url]
    subprocess.run([console, "add-expert", "ann", "--engine", "recorded", *options], check=True, capture_output=True)
    before = rows_of(store_url)

    command = [console, "import-results", "ann", large, *options]
    with scores_cannot_be_written(store_url):
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=accept_interrupts,
        )
        while not is_writing(store_url):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        if store_url.startswith("sqlite"):
            time.sleep(0.2)  # the rows are written after the lock is taken
        process.send_signal(signal_sent)
        out, err = process.communicate(timeout=60)

    assert process.returncode == code, err
    assert not out
    assert err.count("\n") == 1
    assert message in error_message(err)
    assert rows_of(store_url) == before
    if store_url.startswith("sqlite"):
        with closing(sqlite3.connect(tmp_path / "benchcoe.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# --- commands that succeed despite a fault ---------------------------------------------------------------------


def test_unusable_rows_are_listed_and_the_others_stored(workplace: Path, cli: Cli) -> None:
    Path("x.csv").write_bytes(csv(GOOD, GOOD, "toy,colours-1,,colours,nan", "toy,colours-2,,colours,0.5"))
    ended = cli("import-results idle x.csv --json")
    assert ended.code == 0
    assert ended.json["scored"] == {"idle": 2}
    assert [fault["line"] for fault in ended.json["skipped"]] == [3, 4]


def test_skipped_rows_that_are_not_shown_are_counted(workplace: Path, cli: Cli) -> None:
    rows = [f"toy,colours-{n},,colours,nan" for n in range(12)]
    rows += [f"toy,colours-{n},,animal {n % 13},1" for n in range(1, 27)]
    Path("x.csv").write_bytes(csv(GOOD, *rows))
    shown = cli("import-results idle x.csv").out.splitlines()
    assert any("skipped rows 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 2 more: score 'nan'" in line for line in shown)
    assert sum("skipped row" in line for line in shown) == 11
    assert "  ... and 8 more skipped rows, for 4 other reasons (--json lists all)" in shown


def test_training_repairs_a_damaged_router(workplace: Path, cli: Cli) -> None:
    damage_weights()
    assert cli("route 'how many?' --router by-subject").code == 1
    assert cli("train-router by-subject").code == 0
    assert cli("route 'how many?' --router by-subject").code == 0


def test_a_file_name_that_is_not_unicode(workplace: Path) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    Path(name).write_bytes(csv(GOOD))
    console = Path(sys.executable).with_name("benchcoe-jobs")
    ended = subprocess.run([console, "import-results", "idle", name, "--json"], capture_output=True, check=True)
    assert json.loads(ended.stdout)["scored"] == {"idle": 1}
