"""User CPU of `benchcoe-jobs --help` against an interpreter that only imports click.

python bench/startup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from harness import markdown


def main() -> None:
    command = str(Path(sys.executable).with_name("benchcoe-jobs"))
    ours = user_seconds([command, "--help"])
    least = user_seconds([sys.executable, "-c", "import click"])
    columns = ["`benchcoe-jobs --help`, user CPU s", "`python -c 'import click'`, user CPU s", "ratio"]
    markdown(columns, [[f"{ours:.3f}", f"{least:.3f}", f"{ours / least:.2f}"]])


def user_seconds(words: list[str], times: int = 15) -> float:
    """Median user CPU seconds of a command, after a warm-up."""
    taken = []
    for _ in range(times + 1):
        before = os.times().children_user
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        taken.append(os.times().children_user - before)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
