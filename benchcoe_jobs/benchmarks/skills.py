"""Skills: questions about eight small skills, for the experts that come with the package (`benchcoe_jobs.demo`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.benchmarks.base import NO_ANSWER, HubSource, Shots
from benchcoe_jobs.benchmarks.files import Record, records, source_files, unique
from benchcoe_jobs.domain import Decoding, Query, Request, ScoredAnswer


class Skills:
    """A question and an answer on one line. The questions are generated, not published."""

    name = "skills"
    subjects: tuple[str, ...] = (
        "arithmetic",
        "capitals",
        "comparison",
        "counting",
        "dates",
        "reversal",
        "sorting",
        "units",
    )
    template = "question and answer on one line each, 1"
    n_shots = 0
    decoding = Decoding(max_new_tokens=24, stop=("\n",))
    hub: HubSource | None = None

    def load(self, path: Path) -> Iterator[Query]:
        """The questions of the files that `benchcoe_jobs.demo.questions` writes: id, subject, question, answer."""
        return unique(path, self._queries(path))

    def _queries(self, path: Path) -> Iterator[Query]:
        for file in source_files(path, {}):
            for row in records(file.path):
                yield self._query(row)

    def _query(self, row: Record) -> Query:
        return Query(
            key=row.text("id"),
            subject=row.one_of("subject", self.subjects),
            text=row.text("question"),
            answer=row.text("answer"),
        )

    def shots(self, path: Path) -> Mapping[str, Shots]:
        """Empty: the benchmark is zero-shot."""
        return {}

    def request(self, query: Query, shots: Shots) -> Request:
        """The prompt that the experts were trained with."""
        return Request(f"Q: {query.text}\nA:")

    def score(self, text: str, query: Query) -> ScoredAnswer:
        """Exact match of the first line, without surrounding blanks."""
        answer = text.strip().partition("\n")[0].rstrip()
        return ScoredAnswer(float(answer == query.answer), answer, "line") if answer else NO_ANSWER
