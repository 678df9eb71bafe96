"""The immutable values that packages pass to each other; docs/architecture.md has a glossary of their terms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from benchcoe_jobs.characters import same_characters
from benchcoe_jobs.picture import Picture


class Split(StrEnum):
    """The part of a benchmark that a query belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Level(StrEnum):
    """What a label is given to (paper, section 3.2): a query or a subject."""

    QUERY = "query"
    SUBJECT = "subject"


class Policy(StrEnum):
    """The label of a subject whose best expert is not significantly better (docs/store.md)."""

    BEST = "best"
    CHEAPEST = "cheapest-of-tied"
    ABSTAIN = "abstain"


class Distribution(StrEnum):
    """The relation of a router's test questions to its training questions (the stages of the paper, section 4)."""

    NAIVE = "naive"
    IN_DISTRIBUTION = "in distribution"
    OUT_OF_DISTRIBUTION = "out of distribution"


class Source(StrEnum):
    """The origin of a per-subject score."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    REPORTED = "reported"


class Scale(StrEnum):
    """The scale of the scores of a file. It is never guessed from the values."""

    FRACTION = "fraction"
    PERCENT = "percent"


class Queue(StrEnum):
    """The workers that a shard is for: those that load experts, train routers, or do everything else."""

    GPU = "gpu"
    TRAIN = "train"
    CPU = "cpu"


class ShardState(StrEnum):
    """The state of a shard; docs/jobs.md has a diagram."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobState(StrEnum):
    """The state of a job. All but `open` are final, except that the job can be retried."""

    OPEN = "open"
    DONE = "done"
    PARTIAL = "finished with failed items"
    FAILED = "failed"
    CANCELLED = "cancelled"


ALL_POOL = "all"
"""The pool that always exists, with all experts that are not retired."""

RECORDED = "recorded"
"""In place of an engine: the expert cannot answer, its results are imported."""

MICRO = 1_000_000
"""Sums of scores are integers, in units of 1e-6: sums of floats depend on the order of rows, which breaks ties."""


@dataclass(frozen=True)
class Query:
    """One question of a benchmark.

    A router may read `text` and `choices`; a scorer compares with `answer`. `split` is None if the source has a single
    labelled split, see `assign_split`. `images` are encoded image files (PNG, JPEG, WebP) in the order in which the
    text refers to them. `source` names the older data set that the question is from, if the benchmark names it.
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
        """SHA-256 (hex) of text, choices, answer and images, see `same_characters`. Computed once."""
        # Not functools.cached_property, which takes a lock on Python 3.11: imports read thousands per second.
        known: str | None = self.__dict__.get("_content_hash")
        if known is None:
            known = self.__dict__["_content_hash"] = self.hashed(same_characters)
        return known

    def with_split(self, split: Split) -> Query:
        """The same query in a split, and with its hash if it is known."""
        placed = Query(self.key, self.subject, self.text, self.choices, self.answer, split, self.images, self.source)
        if (known := self.__dict__.get("_content_hash")) is not None:
            placed.__dict__["_content_hash"] = known
        return placed

    @property
    def has_question(self) -> bool:
        """Whether its question is known: a text, or pictures. If not, the query is known by its key alone."""
        return bool(self.text or self.images)

    @property
    def split_hash(self) -> str:
        """The hash by which `assign_split` assigns the query: that of its content, or of its key if it has no question.

        Queries that are known by their keys alone have the same empty content, or share it with all queries with
        the same answer: by content, all of them would be in one split.
        """
        if self.has_question:
            return self.content_hash
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()

    def hashed(self, form: Callable[[str], str] = str) -> str:
        """The content hash of the texts in a form. As they are, it is the hash of releases before 0.3.0."""
        answers = () if self.answer is None else (self.answer,)
        parts = list(map(form, (self.text, *self.choices, *answers)))
        counted = [f"{len(part)}:{part}" for part in parts]  # lengths and the count separate the parts
        # An "i" is not a length, so an image is not mistaken for a part; without images the hash is that of the text.
        images = [f"i{hashlib.sha256(image).hexdigest()}" for image in self.images]
        content = f"{len(self.choices)}:{''.join(counted)}{''.join(images)}"
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def derived_key(content_hash: str) -> str:
    """The key of a query whose source has no keys."""
    return content_hash[:16]


def assign_split(split_hash: str) -> Split:
    """Assign a query to train, validation or test, 60/10/30, by its `split_hash`.

    Exact duplicates have the same hash, so they are in the same split. The order of queries does not matter.
    """
    share = int(split_hash[:8], 16) % 100
    if share < 60:
        return Split.TRAIN
    return Split.VALIDATION if share < 70 else Split.TEST


@dataclass(frozen=True, slots=True)
class RouterInput:
    """The part of a question that a router reads: its text, its choices and its pictures, if it has some."""

    text: str
    choices: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @property
    def whole(self) -> str:
        """The text, then the choices, one per line."""
        return router_text(self.text, self.choices)


def router_text(text: str, choices: tuple[str, ...] | list[str]) -> str:
    """A question as one text: first its text, then its choices, one per line."""
    return "\n".join([text, *choices])


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """The score of one response in [0, 1], the extracted answer, and the rule that extracted it."""

    score: float
    extracted: str | None
    rule: str


class Result(NamedTuple):
    """One row of a published result file: the result of `expert` on `query`. A tuple, because it is created faster.

    `score` is None if the scorer of the benchmark scores `text`, the response; otherwise the response is only kept.
    `line` is the line in the file, or the number of the record if the format has no lines, from 1; `file` names the
    file if there are several. `expert` is None if the file is about a single expert without naming it. `claimed` is the
    extracted answer in the file, used only for comparison. `task` and `file_score` are compared with the means that the
    file states: the task that has the row, and the row's own score in [0, 1] if it is not `score`. `prompt` is
    what the expert read, if the file names a stored query by its key alone: it must have the question.
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
    task: str | None = None
    file_score: float | None = None
    file: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that cannot be used: its line, the reason, and the file if there are several."""

    line: int
    reason: str
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about a whole file, which an importer yields among its rows."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message: an encoded file (PNG, JPEG, WebP), and its level of detail if the message names one."""

    file: bytes
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a conversation: one text, or texts and images in their order."""

    role: str
    content: str | tuple[str | Image, ...]
    name: str | None = None

    @property
    def parts(self) -> tuple[str | Image, ...]:
        """The texts and images of the message in their order."""
        return (self.content,) if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        """The texts of the message, one per line, without its images."""
        return "\n".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an engine.

    The prompt is `preamble`, as many of `shots` as fit into the context, and `question`, concatenated (they include
    their line breaks). The question is never cut. With `continuations`, the engine returns the log-likelihood of each
    after the prompt instead of generating. `images` are encoded files. `messages` are a whole conversation, which ends
    with the question and replaces the fields before, in the chat form. `seed` is used if the decoding has none.
    """

    question: str = ""
    preamble: str = ""
    shots: tuple[str, ...] = ()
    images: tuple[bytes, ...] = ()
    continuations: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    seed: int | None = None

    def prompt(self, n_shots: int) -> str:
        """The text of the prompt with the first `n_shots` few-shot examples."""
        return "".join([self.preamble, *self.shots[:n_shots], self.question])

    def conversation(self, n_shots: int) -> tuple[Message, ...]:
        """The request as a conversation; the images of a prompt are before its text."""
        if self.messages:
            return self.messages
        prompt = self.prompt(n_shots)
        return (Message("user", (*map(Image, self.images), prompt) if self.images else prompt),)

    @property
    def image_files(self) -> tuple[bytes, ...]:
        """All images of the request in their order."""
        if not self.messages:
            return self.images
        return tuple(part.file for message in self.messages for part in message.parts if isinstance(part, Image))


@dataclass(frozen=True, slots=True)
class Decoding:
    """How an engine generates. Temperature 0 is greedy; `chat` applies the chat template of the model.

    `max_new_tokens` is the limit of an answer in tokens; None means what fits into the context beside the prompt.
    Without a `seed`, sampling uses that of the request, and else one that is new each time.
    """

    max_new_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = 0
    stop: tuple[str, ...] = ()
    chat: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer of an engine to one request.

    `finish_reason` is stop, length, error or unanswered; with error, `error` is the reason in one line, and the text is
    empty. A request is unanswered if its run ended before: it stays open, and the next run asks it.
    `loglikelihoods` has the natural-log probability of each continuation, in order. Token counts are those of the
    engine; `latency_s` is the wall time of its micro-batch in seconds.
    """

    text: str = ""
    finish_reason: str = "stop"
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    shots_used: int = 0
    loglikelihoods: tuple[float, ...] = ()
    latency_s: float | None = None


LENGTH = "length"
"""The finish reason of an answer that was truncated at its limit of tokens."""

UNANSWERED = Completion(finish_reason="unanswered")
"""In place of a completion: a fault of the account or the endpoint ended the run before the request was answered."""
