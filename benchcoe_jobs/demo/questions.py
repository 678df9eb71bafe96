"""Generated questions about eight small skills, drawn with a seed.

Training and test questions differ in the fact that they ask for, not in their wording or seed: one fact in eight,
chosen by hash, is held out from training in all wordings, and only such facts are tested. The wordings are shared:
the test measures whether a skill was learnt, not whether its wording was.
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
"""One fact in this number is held out for testing."""

_SEED = 7


@dataclass(frozen=True, slots=True)
class SkillQuestion:
    """A question of a subject with its only correct answer; `fact` is the same for all wordings."""

    subject: str
    fact: str
    text: str
    answer: str

    @property
    def is_held_out(self) -> bool:
        """Whether the question is for testing: experts were not trained on its fact."""
        content = f"{self.subject}/{self.fact}".encode()
        return hashlib.sha256(content).digest()[0] % _HELD_OUT == 0


def drawn(subject: str, rng: random.Random, *, held_out: bool) -> Iterator[SkillQuestion]:
    """An endless stream of questions of a subject, held out or for training."""
    while True:
        question = SkillQuestion(subject, *_SKILLS[subject](rng))
        if question.is_held_out == held_out:
            yield question


def write_questions(path: Path, per_subject: int) -> None:
    """Write test questions of all subjects in the format of the benchmark `skills`; they are the same each time.

    All are different; a few ask for the same fact in different words. A subject has some hundreds.
    """
    rng = random.Random(_SEED)  # noqa: S311 -- a fixed draw, not a secret
    with path.open("w", encoding="utf-8") as file:
        for subject in SUBJECTS:
            questions: dict[str, SkillQuestion] = {}
            for question in drawn(subject, rng, held_out=True):
                questions[question.text] = question
                if len(questions) == per_subject:
                    break
            for number, question in enumerate(questions.values()):
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
    # Two digits each without carry, which a model of this size learns in minutes.
    (tens, more_tens), (ones, more_ones) = _digits_without_carry(rng, 1), _digits_without_carry(rng, 0)
    a, b = 10 * tens + ones, 10 * more_tens + more_ones
    fact = f"{min(a, b)}+{max(a, b)}"  # the differences are the same fact
    if rng.random() < 0.5:
        return fact, rng.choice([f"What is {a} plus {b}?", f"Add {a} and {b}."]), str(a + b)
    return fact, rng.choice([f"What is {a + b} minus {b}?", f"Take {b} away from {a + b}."]), str(a)


def _digits_without_carry(rng: random.Random, least: int) -> tuple[int, int]:
    """Two digits of at least `least` with a sum of at most 9."""
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
