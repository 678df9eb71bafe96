"""What every benchmark offers to the jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchcoe_jobs.domain import Completion, Decoding, Query, Request, ScoredAnswer

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of choices, in order."""

NO_ANSWER = ScoredAnswer(0.0, None, "none")
"""Nothing in the response says an answer. Where an official script guesses here, we do not."""


@dataclass(frozen=True, slots=True)
class Shots:
    """Worked examples that stand before a question: what introduces them, and one block for each.

    They bring their own line breaks. An engine may drop blocks from the end, never the question.
    """

    preamble: str = ""
    blocks: tuple[str, ...] = ()


NO_SHOTS = Shots()


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where the Hugging Face hub has a benchmark.

    `revision` is the commit that its loader was written for; None where nobody has checked one, so that
    the user must name it. `patterns` are the files to fetch, as in fnmatch.
    """

    repo: str
    revision: str | None
    patterns: tuple[str, ...]


class Benchmark(Protocol):
    """What to ask and how to score it. A plug-in of the group "benchmarks" is a class like this.

    `subjects` is empty where they come from the data. `n_shots` is how many worked examples the official
    prompt has; where it is not 0, `shots` must be asked for them. `template` names the prompt: it is part
    of a run's fingerprint, and changes whenever `request` or `shots` would put a word differently.
    """

    name: str
    subjects: tuple[str, ...]
    template: str
    n_shots: int
    decoding: Decoding
    hub: HubSource | None

    def load(self, path: Path) -> Iterator[Query]:
        """Queries of a local file or folder, in the shapes in which the benchmark is published.

        `split` is set where the source has several labelled ones. Raises InputError where something
        cannot be read, MissingError where a package is needed.
        """
        ...

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """Worked examples by subject, from the same file or folder; empty for a zero-shot benchmark.

        Raises as `load` does.
        """
        ...

    def request(self, query: Query, shots: Shots) -> Request:
        """The official prompt. `shots` are those of the query's subject, or NO_SHOTS."""
        ...

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """Score a response, as `stored_text` keeps it, in [0, 1].

        Never guesses, never raises, whatever the text, and takes time linear in its length. The rule
        says how the answer was found.
        """
        ...


def stored_text(completion: Completion) -> str:
    """What the store keeps of a completion, and `score` reads: the text, or the log-likelihoods as JSON.

    Python writes floats so that they read back exactly: rescoring needs no engine for either kind.
    """
    return json.dumps(completion.loglikelihoods) if completion.loglikelihoods else completion.text
