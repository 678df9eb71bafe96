"""Four tiny experts that see, so that all commands can be tried with pictures.

Each is an Idefics3 with about 700,000 weights that `train` has trained on some of the subjects in `questions`. The
weights are package data: nothing is downloaded.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

STRONG = {
    "painter": ("colours", "shapes", "places"),
    "reader": ("digits", "bars"),
    "counter": ("counting", "dice"),
    "watchmaker": ("clocks",),
}
"""The subjects that each expert was mainly trained on."""

NEWCOMER = "watchmaker"
STARTERS = tuple(name for name in STRONG if name != NEWCOMER)


def model_folder(expert: str) -> Path:
    """The folder of an expert's model, for `--model`."""
    return Path(str(files(__package__))) / expert
