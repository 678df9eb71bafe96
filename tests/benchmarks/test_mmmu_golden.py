"""MMMU on the real example outputs, 900 responses of LLaVA-1.5-13B: correct answers, and the rules that found them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

import pytest
from needs import SHARED_DATA, skip_or_fail

from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.domain import Query

MMMU = SHARED_DATA / "mmmu" / "mmmu"

# Correct answers of 30 each. The official script gives the same, except for two responses in which it finds no choice
# and guesses.
CORRECT = {
    "Accounting": 8,
    "Agriculture": 15,
    "Architecture_and_Engineering": 10,
    "Art": 18,
    "Art_Theory": 16,
    "Basic_Medical_Science": 15,
    "Biology": 7,
    "Chemistry": 6,
    "Clinical_Medicine": 12,
    "Computer_Science": 6,
    "Design": 17,
    "Diagnostics_and_Laboratory_Medicine": 11,
    "Economics": 7,
    "Electronics": 6,
    "Energy_and_Power": 11,
    "Finance": 4,
    "Geography": 12,
    "History": 17,
    "Literature": 22,
    "Manage": 10,
    "Marketing": 5,
    "Materials": 12,
    "Math": 10,
    "Mechanical_Engineering": 5,
    "Music": 11,
    "Pharmacy": 8,
    "Physics": 9,
    "Psychology": 11,
    "Public_Health": 12,
    "Sociology": 16,
}
CHOICE_RULES = {"X": 836, "(X)": 8, "option text": 1, "none": 2}
OPEN_RULES = {"unmatched": 51, "number": 1, "phrase": 1}


@dataclass
class Reading:
    """The scores of the responses, and the rules that found the answers."""

    correct: Counter[str] = field(default_factory=Counter)
    choice_rules: Counter[str] = field(default_factory=Counter)
    open_rules: Counter[str] = field(default_factory=Counter)
    guessed_officially: list[str] = field(default_factory=list)
    answers: dict[str, str | list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        total = sum(self.correct.values())
        lines = [f"{subject}: {correct}/30" for subject, correct in sorted(self.correct.items())]
        lines.append(f"overall: {total}/900 = {total / 900:.4f}")
        lines.append(f"no choice found, and the official script guesses: {', '.join(self.guessed_officially)}")
        return "\n".join([*lines, f"choices {self.choice_rules}", f"open {self.open_rules}"])


@pytest.fixture(scope="module")
def reading() -> Reading:
    files = sorted((MMMU / "example_outputs" / "llava1.5_13b").glob("*/output.json"))
    if not files:
        skip_or_fail(f"no MMMU example outputs in {MMMU}")
    found = Reading()
    for file in files:
        for row in json.loads(file.read_text()):
            answer = row["answer"]
            choices = tuple(row.get("index2ans", {}).values())
            text = answer if isinstance(answer, str) else json.dumps(answer)
            scored = Mmmu().score(
                row["response"], Query(row["id"], file.parent.name, text="", choices=choices, answer=text)
            )
            found.correct[file.parent.name] += int(scored.score)
            found.answers[row["id"]] = answer
            (found.choice_rules if choices else found.open_rules)[scored.rule] += 1
            if choices and scored.rule == "none":
                found.guessed_officially.append(row["id"])
    return found


def test_every_response_has_its_published_answer(reading: Reading) -> None:
    published = json.loads((MMMU / "answer_dict_val.json").read_text())
    assert reading.answers == {key: entry["ground_truth"] for key, entry in published.items()}
    assert (sum(reading.choice_rules.values()), sum(reading.open_rules.values())) == (847, 53)


def test_correct_answers_by_subject(reading: Reading) -> None:
    assert dict(reading.correct) == CORRECT, str(reading)
    assert sum(reading.correct.values()) == 329, str(reading)
    assert tuple(sorted(reading.correct)) == Mmmu.subjects


def test_the_rules_that_found_the_answers(reading: Reading) -> None:
    assert (dict(reading.choice_rules), dict(reading.open_rules)) == (CHOICE_RULES, OPEN_RULES), str(reading)


def test_two_random_guesses_are_not_answers(reading: Reading) -> None:
    assert reading.guessed_officially == ["validation_Design_4", "validation_Psychology_4"], str(reading)
