"""WinoGrande: 1,267 validation questions, a sentence with a blank and two options (arXiv 1907.10641).

Scored by partial evaluation (Trinh and Le, arXiv 1806.02847), as in github.com/EleutherAI/
lm-evaluation-harness, lm_eval/tasks/winogrande/preprocess_winogrande.py: the option in the blank that makes the rest
of the sentence, which both share, more likely.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import TRAIN, VALIDATION, Record, SourceFile, records, source_files, unique
from benchcoe_jobs.benchmarks.likelihood import best, stored_likelihoods
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer

_BLANK = "_"
_OPTIONS = ("1", "2")
_OTHER_SIZES = frozenset({"xs", "s", "m", "l", "debiased"})
"""Training sets that are parts of the largest one. The hub has a copy of the validation set with each."""


class WinoGrande:
    """WinoGrande: the log-likelihood of the text after the blank. All queries have the same subject."""

    name = "winogrande"
    subjects: tuple[str, ...] = ("coreference",)
    template = "log-likelihood of the shared suffix, 1"
    n_shots = 0
    decoding = Decoding(max_new_tokens=0)
    hub: HubSource | None = HubSource("allenai/winogrande", None, ("*winogrande_xl/*.parquet",))

    def load(self, path: Path) -> Iterator[Query]:
        """The labelled questions of train (size XL) and validation, or of one of them."""
        files = source_files(path, TRAIN | VALIDATION, skip=_OTHER_SIZES)
        return unique(path, (self.query(row, file) for file in files for row in records(file.path)))

    def query(self, row: Record, file: SourceFile) -> Query:
        """A row of a file as the data set publishes it. Raises InputError."""
        sentence = row.text("sentence")
        if _BLANK not in sentence:
            raise row.error(f"sentence has no blank {_BLANK!r}")
        position = f"{file.named or 'row'}-{row.number}"  # Parquet has no ids
        return Query(
            key=row.optional("qID") or position,
            subject=self.subjects[0],
            text=sentence,
            choices=(row.text("option1"), row.text("option2")),
            answer=row.one_of("answer", _OPTIONS),
            split=file.split,
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """Empty: the benchmark is zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """The text before the blank, with each option alone and with the rest of the sentence as continuations.

        A request has one prompt, which the options would be part of. By the chain rule,
        log P(rest | before + option) = log P(option + rest | before) - log P(option | before).
        Blanks belong to the continuation because tokens begin with them.
        """
        before, _, rest = query.text.partition(_BLANK)
        lead = before.rstrip()
        rest = rest.rstrip()
        filled = [before[len(lead) :] + option for option in query.choices]
        return Request(lead, continuations=tuple(text for option in filled for text in (option, option + rest)))

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """Whether the correct option makes the rest of the sentence more likely. Equal values are no answer."""
        values = stored_likelihoods(text, 2 * len(_OPTIONS))
        if values is None:
            return NO_ANSWER
        alone, whole = values[::2], values[1::2]
        if float("-inf") in alone:  # the probability of the rest after an impossible option is undefined
            return NO_ANSWER
        index = best([both - option for option, both in zip(alone, whole, strict=True)])
        if index is None:
            return NO_ANSWER
        return ScoredAnswer(float(_OPTIONS[index] == query.answer), _OPTIONS[index], "shared suffix")
