"""The interface of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchcoe_jobs.domain import Completion, Decoding, Query, Request, ScoredAnswer

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The names of choices, in order."""

NO_ANSWER = ScoredAnswer(0.0, None, "none")
"""The response contains no answer. Official scripts that guess in this case are not followed."""


@dataclass(frozen=True, slots=True)
class Shots:
    """Worked examples before a question: an introduction, and one block for each example.

    They include their line breaks. An engine may drop blocks from the end, but never the question.
    """

    preamble: str = ""
    blocks: tuple[str, ...] = ()


NO_SHOTS = Shots()


@dataclass(frozen=True, slots=True)
class HubSource:
    """The location of a benchmark on the Hugging Face hub.

    `revision` is the commit that the loader was tested with; None if none was tested, and the user must give one.
    `patterns` select the files to download, as in fnmatch.
    """

    repo: str
    revision: str | None
    patterns: tuple[str, ...]


class Benchmark(Protocol):
    """Loads queries, makes prompts and scores responses. A plug-in of the group "benchmarks" is a class like this.

    `subjects` is empty if they come from the data. `n_shots` is the number of worked examples in the official prompt;
    if it is not 0, `shots` returns them. `template` names the prompt: it is part of a run's fingerprint, and must
    change whenever `request` or `shots` change the text of a prompt.
    """

    name: str
    subjects: tuple[str, ...]
    template: str
    n_shots: int
    decoding: Decoding
    hub: HubSource | None

    def load(self, path: Path) -> Iterator[Query]:
        """The queries of a local file or folder, in the formats in which the benchmark is published.

        `split` is set if the source has several labelled splits. Raises InputError if something cannot be read,
        MissingError if a package is missing.
        """
        ...

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """The worked examples by subject, from the same file or folder; empty for a zero-shot benchmark.

        Raises as `load` does.
        """
        ...

    def request(self, query: Query, shots: Shots) -> Request:
        """The official prompt of a query. `shots` are those of its subject, or NO_SHOTS."""
        ...

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """Score a response, in the form of `stored_text`, in [0, 1].

        Must not guess, must not raise for any text, and must take time linear in its length. The rule says how the
        answer was found.
        """
        ...


def stored_text(completion: Completion) -> str:
    """The form of a completion that is stored, and that `score` reads: the text, or the log-likelihoods as JSON.

    JSON keeps floats exact in Python, so rescoring needs no engine for either.
    """
    return json.dumps(completion.loglikelihoods) if completion.loglikelihoods else completion.text
