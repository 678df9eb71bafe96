"""The wheel in a clean environment, outside the repository: --help, init, quickstart.

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
        assert tops == {"benchcoe_jobs", wheel.name.rpartition("-py3")[0] + ".dist-info"}, tops
        run(python, "-m", "pip", "--quiet", "install", "--constraint", ROOT / "constraints.txt", wheel)
        installed = run(python, "-m", "pip", "list")
        assert "torch" not in installed, "a plain install must stay light"
        assert "vllm" not in installed, "a plain install must stay light"

        command = place / "venv" / "bin" / "benchcoe-jobs"
        assert "build-labels" in run(command, "--help")
        assert "created" in run(command, "init")
        assert "unchanged" in run(command, "init")
        assert "with the newcomer" in run(command, "quickstart")
        run(python, "-m", "pip", "check")
    print("the wheel works in a clean environment")


if __name__ == "__main__":
    main()
