"""WinoGrande: 1,267 validation questions, a sentence with a blank and two options (arXiv 1907.10641).

Scored by partial evaluation (Trinh and Le, arXiv 1806.02847), as in github.com/EleutherAI/
lm-evaluation-harness, lm_eval/tasks/winogrande/preprocess_winogrande.py: with either option in the blank,
how likely is the rest of the sentence, which both share?
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
"""Training sets that are parts of the largest one; the hub repeats the validation set beside each."""


class WinoGrande:
    """WinoGrande: the log-likelihood of what follows the blank. It has no subjects: all queries are of one."""

    name = "winogrande"
    subjects: tuple[str, ...] = ("coreference",)
    template = "log-likelihood of the shared suffix, 1"
    n_shots = 0
    decoding = Decoding(max_new_tokens=0)
    hub: HubSource | None = HubSource("allenai/winogrande", None, ("*winogrande_xl/*.parquet",))

    def load(self, path: Path) -> Iterator[Query]:
        """The labelled questions: train (size XL) and validation, where both are there."""
        files = source_files(path, TRAIN | VALIDATION, skip=_OTHER_SIZES)
        return unique(path, (self._query(row, file) for file in files for row in records(file.path)))

    def _query(self, row: Record, file: SourceFile) -> Query:
        sentence = row.text("sentence")
        if _BLANK not in sentence:
            raise row.fault(f"sentence has no blank {_BLANK!r}")
        place = f"{file.named or 'row'}-{row.number}"  # Parquet has no ids
        return Query(
            key=row.optional("qID") or place,
            subject=self.subjects[0],
            text=sentence,
            choices=(row.text("option1"), row.text("option2")),
            answer=row.one_of("answer", _OPTIONS),
            split=file.split,
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """None: zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """What stands before the blank; as continuations each option alone, and with the rest of the sentence.

        A request has one prompt, but here the options stand in it. By the chain rule
        log P(rest | before + option) = log P(option + rest | before) - log P(option | before).
        Blanks go to the continuation, as tokens begin with them.
        """
        before, _, rest = query.text.partition(_BLANK)
        lead = before.rstrip()
        rest = rest.rstrip()
        filled = [before[len(lead) :] + option for option in query.choices]
        return Request(lead, continuations=tuple(text for option in filled for text in (option, option + rest)))

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """Whether the right option makes the rest of the sentence more likely. Equals are no answer."""
        values = stored_likelihoods(text, 2 * len(_OPTIONS))
        if values is None:
            return NO_ANSWER
        alone, whole = values[::2], values[1::2]
        if float("-inf") in alone:  # an impossible option says nothing about what follows it
            return NO_ANSWER
        index = best([both - option for option, both in zip(alone, whole, strict=True)])
        if index is None:
            return NO_ANSWER
        return ScoredAnswer(float(_OPTIONS[index] == query.answer), _OPTIONS[index], "shared suffix")
