"""Gaps: who lacks scores, on which subjects, and how the note says it."""

from __future__ import annotations

import numpy as np

from benchcoe_jobs.services.gaps import Gap, gap_note, gaps_of

NAN = float("nan")


def test_gaps_are_listed_by_size_with_their_subjects() -> None:
    scores = np.array([[1, NAN, NAN], [0, 1, NAN], [1, 1, NAN], [1, 0, 1]])
    assert gaps_of(scores, ["ann", "bob", "cat"], ["law", "maths", "maths", "law"]) == [
        Gap("cat", 3, {"maths": 2, "law": 1}),
        Gap("bob", 1, {"law": 1}),
    ]
    assert gaps_of(scores[3:], ["ann", "bob", "cat"], ["law"]) == []


def test_the_note_names_the_expert_the_subjects_and_the_command() -> None:
    gaps = [Gap("cat", 538, {"maths": 300, "law": 200, "art": 30, "music": 8}), Gap("bob", 2, {"law": 2})]
    assert gap_note(gaps, 538, 3571, "leave it out: benchcoe-jobs retire cat") == (
        "538 of 3571 queries left out, because an expert has no score there: cat on 538 (maths 300, law 200, art 30 "
        "and 1 more), bob on 2 (law 2). To compare on all of them, leave it out: benchcoe-jobs retire cat"
    )
