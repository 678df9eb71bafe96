"""Drawings: questions about small drawn pictures, for the experts of `benchcoe_jobs.demo.pictures`."""

from __future__ import annotations

from dataclasses import replace

from benchcoe_jobs.benchmarks.base import Shots
from benchcoe_jobs.benchmarks.files import Record
from benchcoe_jobs.benchmarks.skills import Skills
from benchcoe_jobs.domain import Decoding, Query, Request


class Drawings(Skills):
    """A picture with a question and an answer on one line, scored as those of `Skills`.

    The rows of its files are those that `benchcoe_jobs.demo.pictures.questions` writes: id, subject, question, answer,
    image.
    """

    name = "drawings"
    subjects = ("bars", "clocks", "colours", "counting", "dice", "digits", "places", "shapes")
    template = "picture, then question and answer on one line each, 1"
    decoding = Decoding(max_new_tokens=8, stop=("\n",))

    def request(self, query: Query, shots: Shots) -> Request:
        """The prompt that the experts were trained with."""
        return replace(super().request(query, shots), images=query.images)

    def _query(self, row: Record) -> Query:
        image = row.image("image")
        if image is None:
            raise row.error("image is missing")
        return replace(super()._query(row), images=(image,))
