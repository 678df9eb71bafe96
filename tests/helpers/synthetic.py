"""A small synthetic result set: experts with the skills of SKILLS."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

BENCHMARK = "synthetic"
N_PER_SUBJECT = 200
SEED = 7

# Probability of a correct answer by subject. No expert is best at all subjects; the newcomer is best at two.
SKILLS: dict[str, dict[str, float]] = {
    "calculator": {
        "arithmetic": 0.90,
        "units": 0.75,
        "sorting": 0.45,
        "spelling": 0.40,
        "dates": 0.50,
        "comparison": 0.60,
    },
    "librarian": {
        "arithmetic": 0.45,
        "units": 0.40,
        "sorting": 0.85,
        "spelling": 0.80,
        "dates": 0.55,
        "comparison": 0.50,
    },
    "generalist": {
        "arithmetic": 0.65,
        "units": 0.60,
        "sorting": 0.62,
        "spelling": 0.60,
        "dates": 0.60,
        "comparison": 0.65,
    },
    "newcomer": {
        "arithmetic": 0.50,
        "units": 0.50,
        "sorting": 0.40,
        "spelling": 0.45,
        "dates": 0.92,
        "comparison": 0.88,
    },
}
COSTS = {"calculator": 1.0, "librarian": 1.0, "generalist": 3.0, "newcomer": 1.0}
NEWCOMER = "newcomer"
STARTERS = [name for name in SKILLS if name != NEWCOMER]

_WORDS = ["anchor", "basket", "candle", "dragon", "engine", "fabric", "garden", "hammer", "island", "jacket", "kettle"]
_MONTHS = ["January", "March", "May", "July", "August", "October", "December"]


def write_results(experts: list[str], path: Path) -> None:
    """Write the results of experts as JSONL for `import-results --format table`."""
    with path.open("w", encoding="utf-8") as file:
        for expert in experts:
            rng = random.Random(f"{SEED}/{expert}")
            for key, subject, text in _questions():
                row = {
                    "benchmark": BENCHMARK,
                    "key": key,
                    "text": text,
                    "subject": subject,
                    "expert": expert,
                    "score": int(rng.random() < SKILLS[expert][subject]),
                }
                file.write(json.dumps(row) + "\n")


def _questions() -> list[tuple[str, str, str]]:
    """(key, subject, text) of every question. Every call returns the same questions."""
    rng = random.Random(SEED)
    return [
        (f"{subject}-{number}", subject, make(rng))
        for subject, make in _TEMPLATES.items()
        for number in range(N_PER_SUBJECT)
    ]


def _arithmetic(rng: random.Random) -> str:
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    return rng.choice(
        [f"What is {a} plus {b}?", f"Work out {a} times {b}.", f"Take {b} away from {a + b}. What is left?"]
    )


def _units(rng: random.Random) -> str:
    n = rng.randint(2, 90)
    return rng.choice(
        [f"How many centimetres are {n} metres?", f"Turn {n} hours into minutes.", f"{n} kilograms, in grams?"]
    )


def _sorting(rng: random.Random) -> str:
    words = ", ".join(rng.sample(_WORDS, 4))
    return rng.choice(
        [f"Put these in alphabetical order: {words}.", f"Sort the words {words}.", f"Which comes last: {words}?"]
    )


def _spelling(rng: random.Random) -> str:
    word = rng.choice(_WORDS)
    return rng.choice(
        [f"Spell {word} backwards.", f"How many letters has {word}?", f"What is the third letter of {word}?"]
    )


def _dates(rng: random.Random) -> str:
    day, month, n = rng.randint(1, 28), rng.choice(_MONTHS), rng.randint(2, 40)
    return rng.choice(
        [
            f"Which date is {n} days after {day} {month}?",
            f"Which month comes after {month}?",
            f"What weekday is {day} {month} if the first is a Monday?",
        ]
    )


def _comparison(rng: random.Random) -> str:
    a, b = rng.randint(10, 999), rng.randint(10, 999)
    return rng.choice(
        [
            f"Which is larger, {a} or {b}?",
            f"Is {a} smaller than {b}?",
            f"Which comes last on a number line: {a} or {b}?",
        ]
    )


_TEMPLATES: dict[str, Callable[[random.Random], str]] = {
    "arithmetic": _arithmetic,
    "units": _units,
    "sorting": _sorting,
    "spelling": _spelling,
    "dates": _dates,
    "comparison": _comparison,
}
