"""Four tiny experts that come with the package, so that all commands can be tried with real answers.

Each is a Llama with about 400,000 weights that `train` has trained on a few of the skills in `questions`. The weights
are package data: nothing is downloaded.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

SKILLS = {
    "reckoner": ("arithmetic", "comparison", "counting"),
    "speller": ("capitals", "reversal", "sorting"),
    "clerk": ("capitals", "comparison", "units"),
    "historian": ("dates",),
}
"""The skills that each expert was mainly trained on."""

NEWCOMER = "historian"
STARTERS = tuple(name for name in SKILLS if name != NEWCOMER)


def model_folder(expert: str) -> Path:
    """The folder of an expert's model, for `--model`."""
    return Path(str(files(__package__))) / expert
