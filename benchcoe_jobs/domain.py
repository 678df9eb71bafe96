"""The nouns of the house: frozen values that every room may pass to another.

Standard library only. The words are those of the glossary in docs/architecture.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Split(StrEnum):
    """Part of a benchmark that a query belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Level(StrEnum):
    """What a label is the best expert for (paper, section 3.2): one query or a whole subject."""

    QUERY = "query"
    SUBJECT = "subject"


class Policy(StrEnum):
    """Which expert is a subject's label where the best one is not clearly the best (docs/store.md)."""

    BEST = "best"
    CHEAPEST = "cheapest-of-tied"
    ABSTAIN = "abstain"


class Distribution(StrEnum):
    """How what a router is tested on relates to what it was trained on (the paper's stages, section 4)."""

    NAIVE = "naive"
    IN_DISTRIBUTION = "in distribution"
    OUT_OF_DISTRIBUTION = "out of distribution"


class Source(StrEnum):
    """Where a per-subject score comes from."""

    MEASURED = "measured"
    REPORTED = "reported"


class Queue(StrEnum):
    """Which workers a shard is for: those that load experts, train routers, or do the rest."""

    GPU = "gpu"
    TRAIN = "train"
    CPU = "cpu"


class ShardState(StrEnum):
    """docs/jobs.md has the picture."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobState(StrEnum):
    """All but `open` are final, until somebody retries."""

    OPEN = "open"
    DONE = "done"
    PARTIAL = "finished with failed items"
    FAILED = "failed"
    CANCELLED = "cancelled"


ALL_POOL = "all"
"""The pool that always exists and holds every expert that is not retired."""

EVERY_EXPERT = "all"
"""In an import: every expert that the file itself names."""

RECORDED = "recorded"
"""Stands in place of an engine for an expert that cannot answer: its results are imported."""

MICRO = 1_000_000
"""Sums of scores are kept as whole micro-units: adding floats depends on row order and breaks ties."""


@dataclass(frozen=True)
class Query:
    """One question of a benchmark.

    `text` and `choices` are what a router may see; `answer` is what a scorer compares with.
    `split` is None where the source has a single labelled split, see `assign_split`.
    `images` are encoded picture files (PNG, JPEG, WebP), in the order in which the text names them.
    `source` names the older data set that the question was taken from, where the benchmark says so.
    """

    key: str
    subject: str
    text: str
    choices: tuple[str, ...] = ()
    answer: str | None = None
    split: Split | None = None
    images: tuple[bytes, ...] = ()
    source: str | None = None

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of what makes the question: text, choices, answer and images. Computed once."""
        # Not functools.cached_property: it takes a lock on Python 3.11, and imports ask thousands a second.
        known: str | None = self.__dict__.get("_content_hash")
        if known is None:
            known = self.__dict__["_content_hash"] = self._hashed()
        return known

    def _hashed(self) -> str:
        parts = [self.text, *self.choices]
        if self.answer is not None:
            parts.append(self.answer)
        counted = [f"{len(part)}:{part}" for part in parts]  # lengths and the count keep the parts apart
        # An "i" is no length: the images cannot be taken for a part, and without any the hash is that of the text.
        pictures = [f"i{hashlib.sha256(image).hexdigest()}" for image in self.images]
        content = f"{len(self.choices)}:{''.join(counted)}{''.join(pictures)}"
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def derived_key(content_hash: str) -> str:
    """The key of a query whose source gives it none."""
    return content_hash[:16]


def assign_split(content_hash: str) -> Split:
    """Deal a query 60/10/30 to train, validation and test by its content hash.

    Exact duplicates have one hash, so they never straddle splits, and the order in which
    queries arrive plays no part.
    """
    share = int(content_hash[:8], 16) % 100
    if share < 60:
        return Split.TRAIN
    return Split.VALIDATION if share < 70 else Split.TEST


@dataclass(frozen=True, slots=True)
class RouterInput:
    """What a router may see of a question: its text, and its choices where it has some."""

    text: str
    choices: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """The text, then the choices, one a line."""
        return router_text(self.text, self.choices)


def router_text(text: str, choices: tuple[str, ...] | list[str]) -> str:
    """A question in one piece: its text first, then its choices, one a line."""
    return "\n".join([text, *choices])


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """A scorer's verdict on one response: score in [0, 1], extracted answer, extraction rule."""

    score: float
    extracted: str | None
    rule: str


class Result(NamedTuple):
    """One row of a published result file: what `expert` did on `query`. A tuple: there are many, made fast.

    Either `text` (a response, still to be scored) or `score` (already scored) is given.
    `line` says where the row stands in its file (1-based; a record's number where the format
    has no lines). `expert` is None where the file is about a single expert that it does not name.
    `claimed` is the file's own extracted answer, kept only for comparison.
    """

    line: int
    benchmark: str
    query: Query
    expert: str | None = None
    text: str | None = None
    score: float | None = None
    claimed: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that could not be used: where it stands and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReportedScore:
    """A published per-subject score in [0, 1], over `n` queries where that is known."""

    line: int
    benchmark: str
    subject: str
    score: float
    n: int | None = None
    expert: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What an engine is asked about one query.

    The prompt is `preamble`, as many of `shots` as the context holds, then `question`, joined as
    they are (they bring their own line breaks). The question itself is never cut. With
    `continuations` the engine says how likely each of them is after the prompt instead of generating.
    `images` are encoded picture files (PNG, JPEG, WebP). `turns` are (role, text) of a conversation before it,
    for decodings in the chat form.
    """

    question: str
    preamble: str = ""
    shots: tuple[str, ...] = ()
    images: tuple[bytes, ...] = ()
    continuations: tuple[str, ...] = ()
    turns: tuple[tuple[str, str], ...] = ()

    def prompt(self, n_shots: int) -> str:
        """The text with the first `n_shots` few-shot examples."""
        return "".join([self.preamble, *self.shots[:n_shots], self.question])


@dataclass(frozen=True, slots=True)
class Decoding:
    """How an engine answers. Temperature 0 is greedy; `chat` puts the prompt into the model's chat form."""

    max_new_tokens: int = 2048
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    chat: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine answered to one request.

    `finish_reason` is stop, length or error; with error, `error` says in one line why, and the text
    is empty. `loglikelihoods` has the natural-log probability of each continuation, in order.
    Token counts are the engine's own; `latency_s` is wall time of the batch it was part of.
    """

    text: str = ""
    finish_reason: str = "stop"
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    shots_used: int = 0
    loglikelihoods: tuple[float, ...] = ()
    latency_s: float | None = None
