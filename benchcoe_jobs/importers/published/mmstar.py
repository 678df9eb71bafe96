"""Answer files for MMStar: JSON Lines with question_id (the index of the question), prompt, text and model_id.

The workbooks that MMStar itself publishes, MODEL_MMStar.xlsx, have the format `vlmevalkit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchcoe_jobs.benchmarks.mmstar import MmStar
from benchcoe_jobs.importers.base import Item, ReadOptions
from benchcoe_jobs.importers.published.llava_answers import is_answers, read_answers
from benchcoe_jobs.importers.source import Source

_ID = re.compile(r"\d+")
_PROMPT = re.compile(r"Options: A: ")


class MmStarImporter:
    """The format `mmstar`."""

    def recognise(self, source: Source) -> str | None:
        """By numbered questions whose prompts list options as MMStar does."""
        return "its prompts are those of MMStar" if is_answers(source, _ID, _PROMPT) else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The responses, to be scored against the stored queries. Raises as `llava_answers.read_answers` does."""
        options.require_only("mmstar")
        return read_answers(source.path, options.benchmark or MmStar.name)


MMSTAR = MmStarImporter()
