"""MMLU-Pro: 12,032 test questions in 14 subjects, options A to J (arXiv 2406.01574)."""

from __future__ import annotations

import re

from benchcoe_jobs.domain import Judgement, Query

# The three stages of the official script (github.com/TIGER-AI-Lab/MMLU-Pro, compute_accuracy.py), each
# searched only where the ones before it found nothing. Two of them took quadratic time there:
# - `.*[aA]nswer:\s*([A-J])` began anew at every character. Whatever matches from the middle of a line
#   matches from its start too, and with the same last "answer:", so `^` loses nothing.
# - `\b[A-J]\b(?!.*\b[A-J]\b)` read on to the end from every lone capital. A greedy `.*` from the start of
#   the text steps back from the end instead, to the same last one.
_STAGES = (
    ("answer is", re.compile(r"answer is \(?([A-J])\)?")),
    ("answer:", re.compile(r"^.*[aA]nswer:\s*([A-J])", re.MULTILINE)),
    ("last letter", re.compile(r"\A.*\b([A-J])\b", re.DOTALL)),
)


class MmluPro:
    """The scorer of MMLU-Pro."""

    name = "mmlu-pro"
    subjects: tuple[str, ...] = (
        "biology",
        "business",
        "chemistry",
        "computer science",
        "economics",
        "engineering",
        "health",
        "history",
        "law",
        "math",
        "other",
        "philosophy",
        "physics",
        "psychology",
    )

    def judge(self, text: str, query: Query) -> Judgement:
        """1.0 where the letter that a response settles on is the query's answer, else 0.0.

        The stage says how the letter was found. Where the official script picks a random letter,
        there is no answer here (stage "none"), and that is wrong. Linear in the length of the text.
        """
        for stage, pattern in _STAGES:
            if found := pattern.search(text):
                return Judgement(float(found[1] == query.answer), found[1], stage)
        return Judgement(0.0, None, "none")
