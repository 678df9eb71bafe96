"""A small experiment file over the benchmark `toy` with the experts ann and bob."""

from __future__ import annotations

from pathlib import Path

from benchcoe_jobs.services.experiments.plan import Experiment, read_experiment

FILE = """
title = "small"
benchmark = "toy"
protocols = ["naive", "in-distribution", "held-out-subjects"]
seeds = [0, 1]
[pools]
two = ["ann", "bob"]
[[routers]]
name = "by subject"
"""


def read(folder: Path, text: str = FILE) -> Experiment:
    """Write an experiment file into a folder and read it."""
    path = folder / "small.toml"
    path.write_text(text)
    return read_experiment(path)
