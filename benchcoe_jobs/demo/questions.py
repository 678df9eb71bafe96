"""Questions that need no file: eight small skills, asked in words and drawn from a seed.

What tells training from testing is the fact that a question asks for, not its wording or its seed: one fact
in eight, chosen by hash, is never trained on, whichever way it is put, and only such facts are tested. The
wordings themselves are shared: this measures whether a skill was learnt, not whether language was.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from string import ascii_lowercase

_HELD_OUT = 8
"""One fact in as many is kept for testing."""

_SEED = 7


@dataclass(frozen=True, slots=True)
class SkillQuestion:
    """A question of a subject and its one right answer; `fact` is the same for every wording of it."""

    subject: str
    fact: str
    text: str
    answer: str

    @property
    def is_held_out(self) -> bool:
        """Whether it is for testing, and experts have never been trained on what it asks."""
        content = f"{self.subject}/{self.fact}".encode()
        return hashlib.sha256(content).digest()[0] % _HELD_OUT == 0


def drawn(subject: str, rng: random.Random, *, held_out: bool) -> Iterator[SkillQuestion]:
    """Questions of a subject without end, those for testing or those for training."""
    while True:
        question = SkillQuestion(subject, *_SKILLS[subject](rng))
        if question.is_held_out == held_out:
            yield question


def write_questions(path: Path, per_subject: int) -> None:
    """Write test questions of every subject as the benchmark `skills` reads them; always the same ones.

    No two are the same; a few ask for one fact in different words. There are some hundreds of a subject.
    """
    rng = random.Random(_SEED)  # noqa: S311 -- a fixed draw, not a secret
    with path.open("w", encoding="utf-8") as file:
        for subject in SUBJECTS:
            asked: dict[str, SkillQuestion] = {}
            for question in drawn(subject, rng, held_out=True):
                asked[question.text] = question
                if len(asked) == per_subject:
                    break
            for number, question in enumerate(asked.values()):
                row = {
                    "id": f"{subject}-{number}",
                    "subject": subject,
                    "question": question.text,
                    "answer": question.answer,
                }
                file.write(json.dumps(row) + "\n")


_Parts = tuple[str, str, str]
"""Fact, text, answer."""


def _arithmetic(rng: random.Random) -> _Parts:
    # Two digits each, and nothing to carry: what a model of this size learns in minutes.
    (tens, more_tens), (ones, more_ones) = _sharing(rng, 1), _sharing(rng, 0)
    a, b = 10 * tens + ones, 10 * more_tens + more_ones
    fact = f"{min(a, b)}+{max(a, b)}"  # its differences are the same fact
    if rng.random() < 0.5:
        return fact, rng.choice([f"What is {a} plus {b}?", f"Add {a} and {b}."]), str(a + b)
    return fact, rng.choice([f"What is {a + b} minus {b}?", f"Take {b} away from {a + b}."]), str(a)


def _sharing(rng: random.Random, least: int) -> tuple[int, int]:
    """Two digits, of which neither is below `least` nor their sum above 9."""
    one = rng.randint(least, 9 - least)
    return one, rng.randint(least, 9 - one)


def _comparison(rng: random.Random) -> _Parts:
    a, b = rng.sample(range(10, 100), 2)
    larger = rng.random() < 0.5
    word = "larger" if larger else "smaller"
    text = rng.choice([f"Which is {word}, {a} or {b}?", f"Name the {word} of {a} and {b}."])
    return f"{min(a, b)},{max(a, b)}", text, str(max(a, b) if larger else min(a, b))


def _units(rng: random.Random) -> _Parts:
    n = rng.randint(2, 999)
    small, large, zeros = rng.choice(
        [("centimetres", "metres", 2), ("cents", "euros", 2), ("grams", "kilograms", 3), ("metres", "kilometres", 3)]
    )
    text = rng.choice([f"How many {small} are {n} {large}?", f"Express {n} {large} in {small}."])
    return f"{n}/{zeros}", text, f"{n}{'0' * zeros}"


def _counting(rng: random.Random) -> _Parts:
    letters = rng.choices(ascii_lowercase, k=rng.randint(2, 9))
    row = " ".join(letters)
    text = rng.choice([f"How many letters are in {row}?", f"Count the letters of {row}."])
    return row, text, str(len(letters))


def _letters(rng: random.Random) -> list[str]:
    return rng.sample(ascii_lowercase, rng.randint(3, 5))


def _sorting(rng: random.Random) -> _Parts:
    letters = _letters(rng)
    row = " ".join(letters)
    text = rng.choice([f"Put {row} into alphabetical order.", f"Sort the letters {row}."])
    return "".join(sorted(letters)), text, " ".join(sorted(letters))


def _reversal(rng: random.Random) -> _Parts:
    letters = _letters(rng)
    row, back = " ".join(letters), " ".join(reversed(letters))
    text = rng.choice([f"Spell {row} backwards.", f"Reverse the letters {row}."])
    return min(row, back), text, back


def _capitals(rng: random.Random) -> _Parts:
    row = " ".join(_letters(rng))
    text = rng.choice([f"Write {row} in capitals.", f"Make the letters {row} upper case."])
    return row, text, row.upper()


def _dates(rng: random.Random) -> _Parts:
    day = date(1900, 1, 1) + timedelta(days=rng.randrange(73_000))
    words = rng.choice([f"{day.day} {day:%B} {day.year}", f"{day:%B} {day.day}, {day.year}"])
    text = rng.choice([f"Which ISO date is {words}?", f"Write the date {words} in digits, year first."])
    return day.isoformat(), text, day.isoformat()


_SKILLS: dict[str, Callable[[random.Random], _Parts]] = {
    "arithmetic": _arithmetic,
    "capitals": _capitals,
    "comparison": _comparison,
    "counting": _counting,
    "dates": _dates,
    "reversal": _reversal,
    "sorting": _sorting,
    "units": _units,
}

SUBJECTS = tuple(_SKILLS)
