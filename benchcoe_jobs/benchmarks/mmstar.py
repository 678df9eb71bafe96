"""MMStar: 1,500 questions about one image each, in 6 subjects (arXiv 2403.20330).

The official scripts are in github.com/MMStar-Benchmark/MMStar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import Record, records, source_files, unique
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer

_CHOICES = "ABCD"
# From eval/vlmeval/evaluate/mmstar.py: rules, and the text before the letter at the start of a response.
_LEADS = (("at the start", ""), ("(", "("), ("option", "option "), ("the answer is", "the answer is "))


class MmStar:
    """MMStar: zero-shot, with one image. The text of the question includes the options."""

    name = "mmstar"
    subjects: tuple[str, ...] = (
        "coarse perception",
        "fine-grained perception",
        "instance reasoning",
        "logical reasoning",
        "math",
        "science & technology",
    )
    template = "zero-shot, letter, 1"
    n_shots = 0
    decoding = Decoding(max_new_tokens=1024, chat=True)
    hub: HubSource | None = HubSource("Lin-Chen/MMStar", None, ("*.parquet",))

    def load(self, path: Path) -> Iterator[Query]:
        """All questions of a file, or of the files in a folder."""
        rows = (row for file in source_files(path, {}) for row in records(file.path))
        return unique(path, map(self.query, rows))

    def query(self, row: Record) -> Query:
        """A row as the data set publishes it. Raises InputError."""
        image = row.image("image")
        if image is None:
            raise row.error("image is missing")
        return Query(
            key=row.text("index"),
            subject=row.one_of("category", self.subjects),
            text=row.text("question"),
            answer=row.one_of("answer", _CHOICES),
            images=(image,),
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """Empty: the benchmark is zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """The question with the instruction of eval/vlmeval/vlm/llava_next.py."""
        text = f"{query.text}\nAnswer with the option's letter from the given choices directly."
        return Request(text, images=query.images)

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """The letter at the start, or after "(", "option " or "the answer is ", in upper or lower case.

        As in the official script, a response that merely begins with such a letter ("Because") counts too; its rule
        ends with "of a word".
        """
        # The official script lowers the whole response; the start is enough, and fast for a long response.
        start = text.lstrip()[:20].lower().replace("\n", " ")
        for rule, lead in _LEADS:
            letter = start[len(lead) : len(lead) + 1].upper()
            if start.startswith(lead) and letter and letter in _CHOICES:
                in_word = start[len(lead) + 1 : len(lead) + 2].isalpha()
                return ScoredAnswer(float(letter == query.answer), letter, f"{rule}, of a word" if in_word else rule)
        return NO_ANSWER
