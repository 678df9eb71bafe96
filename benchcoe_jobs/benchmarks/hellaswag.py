"""HellaSwag: 10,042 validation questions, each with four endings (arXiv 1905.07830).

Preprocessing and scores are those of the harness with which the published figures were computed:
github.com/EleutherAI/lm-evaluation-harness, lm_eval/tasks/hellaswag/utils.py and lm_eval/api/task.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import LETTERS, NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import TRAIN, VALIDATION, Record, records, source_files, unique
from benchcoe_jobs.benchmarks.likelihood import best, stored_likelihoods
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer, Split


class HellaSwag:
    """HellaSwag: the log-likelihood of each ending. The subjects are the activity labels of the data."""

    name = "hellaswag"
    subjects: tuple[str, ...] = ()
    template = "log-likelihood of endings, 1"
    n_shots = 0
    decoding = Decoding(max_new_tokens=0)
    hub: HubSource | None = HubSource(
        "Rowan/hellaswag",
        "218ec52e09a7e7462a5400043bb9a69a41d06b76",
        ("data/train-*.parquet", "data/validation-*.parquet"),
    )

    def load(self, path: Path) -> Iterator[Query]:
        """The labelled questions of train and validation, or of one of them. The test set has no labels."""
        files = source_files(path, TRAIN | VALIDATION)
        return unique(path, (self.query(row, file.split) for file in files for row in records(file.path)))

    def query(self, row: Record, split: Split | None) -> Query:
        """A row as the data set publishes it, of a split. Raises InputError."""
        endings = tuple(cleaned(ending) for ending in row.texts("endings"))
        activity = row.text("activity_label")
        context = f"{row.text('ctx_a')} {row.optional('ctx_b').capitalize()}"
        published_split = row.optional("split")
        return Query(
            # `ind` starts at 0 in each split.
            key=f"{published_split}-{row.text('ind')}" if published_split else row.text("ind"),
            subject=activity,
            text=cleaned(f"{activity}: {context}"),
            choices=endings,
            answer=row.lettered("label", endings),
            split=split,
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """Empty: the benchmark is zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """The context, with each ending after a blank as a continuation."""
        return Request(query.text, continuations=tuple(f" {ending}" for ending in query.choices))

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """`acc_norm`, which is published: the ending with the highest log-likelihood per character.

        `acc`, by the sum alone, is in the rule, "per character; by sum B": its mean is the share of rules that end
        with the query's answer.
        """
        sums = stored_likelihoods(text, len(query.choices)) if query.choices else None
        if sums is None:
            return NO_ANSWER
        # The blank before an ending does not count. Endings are not empty, except perhaps in imported queries.
        lengths = [max(1, len(ending)) for ending in query.choices]
        letter = _letter(best([value / length for value, length in zip(sums, lengths, strict=True)]))
        rule = f"per character; by sum {_letter(best(sums)) or 'none'}"
        return ScoredAnswer(float(letter is not None and letter == query.answer), letter, rule)


def _letter(index: int | None) -> str | None:
    return None if index is None or index >= len(LETTERS) else LETTERS[index]


# The harness removes `\[.*?\]`, which reads the rest of the line for every bracket that is not closed. Here such a
# bracket is matched together with that rest, and kept: no bracket in the rest is closed either.
_BRACKETS = re.compile(r"\[[^\]\n]*\]|(\[[^\]\n]*)")


def cleaned(text: str) -> str:
    """The text without remains of WikiHow's markup: "[title]" ends a sentence, other brackets are removed."""
    text = text.strip().replace(" [title]", ". ")
    return _BRACKETS.sub(r"\1", text).replace("  ", " ")
