"""Four tiny experts that come with the package, so that the whole way can be walked with real answers.

Each is a Llama of some 400,000 weights that was trained on a few of the skills in `questions`, by `train`.
Their weights are package data: nothing is downloaded.
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
"""What each expert was mainly trained on."""

NEWCOMER = "historian"
STARTERS = tuple(name for name in SKILLS if name != NEWCOMER)


def model_folder(expert: str) -> Path:
    """Where the model of an expert is, to be named as `--model`."""
    return Path(str(files(__package__))) / expert
