"""Build the distributions, check them, and use the wheel in a clean environment outside the repository.

Without extras, the commands run on imported results; with the extra engines, the quickstart asks its models.
`make wheel` runs this script. It is not part of the pytest suite, because it builds and installs from the index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPERTS = ("red", "green")


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

    def run(self, *words: str | Path) -> str:
        """Print and run a command line. Returns its stdout; raises CalledProcessError if it fails."""
        print("$", *words, flush=True)
        done = subprocess.run(words, cwd=self.folder, env=self.variables, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def install(self, requirement: str | Path) -> None:
        self.run(self.python, "-m", "pip", "--quiet", "install", "--constraint", ROOT / "constraints.txt", requirement)


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
    assert len(weights) == 4, weights
    assert top_level == {"benchcoe_jobs", wheel.name.rpartition("-py3")[0] + ".dist-info"}, top_level


def check_commands(environment: CleanEnvironment) -> None:
    """Import results, train a router and evaluate it, without any extra."""
    run, command = environment.run, environment.command
    installed = run(environment.python, "-m", "pip", "list")
    assert "torch" not in installed, "an install without extras must not need torch"
    assert "vllm" not in installed, "an install without extras must not need vllm"
    assert "build-labels" in run(command, "--help")
    assert "created" in run(command, "init")
    assert "unchanged" in run(command, "init")
    rows = [(n, subject, expert) for n in range(200) for subject in EXPERTS for expert in EXPERTS]
    lines = [f"what is {n} {subject}?,{subject},{int(expert == subject)},{expert}" for n, subject, expert in rows]
    (environment.folder / "results.csv").write_text("\n".join(["text,subject,score,expert", *lines]))
    for expert in EXPERTS:
        run(command, "add-expert", expert, "--engine", "recorded")
    run(command, "import-results", "all", "results.csv", "--benchmark", "colours")
    run(command, "train-router", "r")
    assert "100.0 %" in run(command, "evaluate", "r")
    quickstart = subprocess.run(
        [command, "quickstart"], cwd=environment.folder, env=environment.variables, capture_output=True, text=True
    )
    assert (quickstart.returncode, quickstart.stdout) == (4, ""), quickstart
    assert "pip install 'benchcoe-jobs[engines]'" in quickstart.stderr


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = CleanEnvironment(Path(folder))
        wheel = build(environment)
        check_content(wheel)
        environment.install(wheel)
        check_commands(environment)
        environment.install(f"{wheel}[engines]")
        assert "with the newcomer" in environment.run(environment.command, "quickstart")
        environment.run(environment.python, "-m", "pip", "check")
    print("the wheel works in a clean environment")


if __name__ == "__main__":
    main()
