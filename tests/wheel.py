"""The wheel in a clean environment, outside the repository: plain, and with the engines.

Plain, it walks the whole way over imported results; with torch, the quickstart asks the experts in the wheel.
Run by `make wheel`; no part of the pytest suite, because it builds and installs from the index.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = ("red", "green")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("BENCHCOE_", "PYTHON"))}

        def run(*words: str | Path) -> str:
            print("$", *words, flush=True)
            done = subprocess.run(words, cwd=place, env=clean, check=True, stdout=subprocess.PIPE, text=True)
            return done.stdout

        venv.create(place / "venv", with_pip=True)
        python = place / "venv" / "bin" / "python"
        run(python, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", place / "dist", ROOT)
        [wheel] = (place / "dist").glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        tops = {name.split("/")[0] for name in names}
        weights = [name for name in names if name.startswith("benchcoe_jobs/demo/") and name.endswith(".safetensors")]
        assert len(weights) == 4, weights
        assert tops == {"benchcoe_jobs", wheel.name.rpartition("-py3")[0] + ".dist-info"}, tops
        run(python, "-m", "pip", "--quiet", "install", "--constraint", ROOT / "constraints.txt", wheel)
        installed = run(python, "-m", "pip", "list")
        assert "torch" not in installed, "a plain install must stay light"
        assert "vllm" not in installed, "a plain install must stay light"

        command = place / "venv" / "bin" / "benchcoe-jobs"
        assert "build-labels" in run(command, "--help")
        assert "created" in run(command, "init")
        assert "unchanged" in run(command, "init")
        rows = [(n, word, who) for n in range(200) for word in WORDS for who in WORDS]
        lines = [f"what is {n} {word}?,{word},{int(who == word)},{who}" for n, word, who in rows]
        (place / "results.csv").write_text("\n".join(["text,subject,score,expert", *lines]))
        for word in WORDS:
            run(command, "add-expert", word, "--engine", "recorded")
        run(command, "import-results", "all", "results.csv", "--benchmark", "colours")
        run(command, "train-router", "r")
        assert "100.0 %" in run(command, "evaluate", "r")
        lacking = subprocess.run([command, "quickstart"], cwd=place, env=clean, capture_output=True, text=True)
        assert (lacking.returncode, lacking.stdout) == (4, ""), lacking
        assert "pip install 'benchcoe-jobs[engines]'" in lacking.stderr

        run(python, "-m", "pip", "--quiet", "install", "--constraint", ROOT / "constraints.txt", f"{wheel}[engines]")
        assert "with the newcomer" in run(command, "quickstart")
        run(python, "-m", "pip", "check")
    print("the wheel works in a clean environment")


if __name__ == "__main__":
    main()
