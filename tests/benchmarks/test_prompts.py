"""The exact prompts of made-up questions. A change here needs a new `template` of the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.benchmarks.generative import HellaSwagGenerative, WinoGrandeGenerative
from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.benchmarks.mmstar import MmStar
from benchcoe_jobs.benchmarks.scienceqa import ScienceQA
from benchcoe_jobs.benchmarks.winogrande import WinoGrande
from benchcoe_jobs.domain import Query, Request
from benchcoe_jobs.errors import InputError

PNG = b"\x89PNG not really"
LETTER_INSTRUCTION = "Answer with the option's letter from the given choices directly."


def test_mmlu_pro(tmp_path: Path) -> None:
    shot = {
        "category": "math",
        "question": "What is 1 + 1?",
        "options": ["2", "3", "N/A"],
        "cot_content": "A: Let's think step by step. One and one make two. The answer is (A).",
    }
    rows = [shot | {"question": f"What is 1 + {number}?"} for number in range(7)]
    (tmp_path / "validation.json").write_text(json.dumps([*rows, shot | {"category": "law"}]))
    shots = MmluPro().shots(tmp_path)
    assert {subject: len(found.blocks) for subject, found in shots.items()} == {"math": 5, "law": 1}
    query = Query("7", "math", "What is 2 + 2?", choices=("3", "4"), answer="B")
    request = MmluPro().request(query, shots["math"])
    assert request.prompt(1) == (
        "The following are multiple choice questions (with answers) about math. Think step by step and then finish"
        ' your answer with "the answer is (X)" where X is the correct letter choice.\n\n\n\n'
        "Question:\nWhat is 1 + 0?\nOptions:\nA. 2\nB. 3\n"
        "Answer: Let's think step by step. One and one make two. The answer is (A).\n\n"
        "Question:\nWhat is 2 + 2?\nOptions:\nA. 3\nB. 4\nAnswer: Let's think step by step."
    )
    assert len(request.shots) == MmluPro.n_shots
    assert request.prompt(0).endswith("choice.\n\n\n\n" + request.question)
    assert (MmluPro.decoding.stop, MmluPro.decoding.max_new_tokens) == (("Question:",), 2048)


def test_bbh(tmp_path: Path) -> None:
    (tmp_path / "cot-prompts").mkdir()
    file = tmp_path / "cot-prompts" / "snarks.txt"
    step = "A: Let's think step by step.\n"
    file.write_text(f"A canary.\n-----\nFind the snark.\n\nQ: a?\n{step}So the answer is (A).\n\nQ: b?\n{step}Hm.")
    shots = BigBenchHard().shots(tmp_path)["snarks"]
    request = BigBenchHard().request(Query("snarks/0", "snarks", "c?"), shots)
    assert request.prompt(2) == (
        "Find the snark.\n\n"
        "Q: a?\nA: Let's think step by step.\nSo the answer is (A).\n\n"
        "Q: b?\nA: Let's think step by step.\nHm.\n\n"
        "Q: c?\nA: Let's think step by step."
    )
    assert request.prompt(1).count("Q: ") == 2


@pytest.mark.parametrize("text", ["no line of dashes\n\nQ: a?", "canary\n-----\nNo question here."])
def test_bbh_refuses_another_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "cot-prompts").mkdir()
    (tmp_path / "cot-prompts" / "snarks.txt").write_text(text)
    with pytest.raises(InputError, match="not a prompt of BIG-Bench Hard"):
        BigBenchHard().shots(tmp_path)


def test_bbh_without_examples(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder cot-prompts"):
        BigBenchHard().shots(tmp_path)


def test_hellaswag() -> None:
    query = Query("1", "Baking", "Baking: A cook stirs. She", choices=("bakes.", "sleeps."), answer="A")
    request = HellaSwag().request(query, NO_SHOTS)
    assert request.prompt(0) == "Baking: A cook stirs. She"
    assert request.continuations == (" bakes.", " sleeps.")


@pytest.mark.parametrize(
    ("sentence", "prompt", "continuations"),
    [
        (
            "The cup missed the box as the _ was small.",
            "The cup missed the box as the",
            (" cup", " cup was small.", " box", " box was small."),
        ),
        ("_ 's late, _ said. ", "", ("cup", "cup 's late, _ said.", "box", "box 's late, _ said.")),
    ],
)
def test_winogrande(sentence: str, prompt: str, continuations: tuple[str, ...]) -> None:
    request = WinoGrande().request(Query("1", "coreference", sentence, choices=("cup", "box")), NO_SHOTS)
    assert (request.prompt(0), request.continuations) == (prompt, continuations)


def test_generative_prompts() -> None:
    query = Query("1", "Baking", "Baking: A cook stirs. She", choices=("bakes.", "sleeps."), answer="A")
    assert HellaSwagGenerative().request(query, NO_SHOTS) == Request(
        "Based on the context provided below, choose the index of the most plausible ending for the activity.\n"
        "Activity: Baking\nContext: A cook stirs. She\nOptions: \n1. bakes.\n2. sleeps.\nAnswer: "
    )
    query = Query("1", "coreference", "The cup missed the box as the _ was small.", choices=("cup", "box"), answer="2")
    prompt = WinoGrandeGenerative().request(query, NO_SHOTS).prompt(0)
    assert "\nSentence: The cup missed the box as the _ was small.\nOptions: \n1. cup\n2. box\nPlease choose" in prompt


def test_mmmu() -> None:
    query = Query("1", "Math", "Look at <image 1>. Which?", choices=("one", "<image 2>"), images=(PNG, PNG))
    request = Mmmu().request(query, NO_SHOTS)
    assert request.prompt(0) == f"Look at <image 1>. Which?\n(A) one\n(B) <image 2>\n\n{LETTER_INSTRUCTION}"
    assert request.images == (PNG, PNG)
    query = Query("2", "Math", "How many?")
    assert Mmmu().request(query, NO_SHOTS).question == ("How many?\nAnswer the question using a single word or phrase.")


def test_mmstar() -> None:
    query = Query("1", "math", "Which?\nOptions: A: one, B: two", images=(PNG,))
    request = MmStar().request(query, NO_SHOTS)
    assert request.prompt(0) == f"Which?\nOptions: A: one, B: two\n{LETTER_INSTRUCTION}"
    assert request.images == (PNG,)


def test_scienceqa() -> None:
    query = Query("1", "natural science", "Which?\nContext: It is  late.", choices=("one", "two"), images=(PNG,))
    request = ScienceQA().request(query, NO_SHOTS)
    assert (
        request.prompt(0) == f"Question: Which?\nContext: It is late.\nOptions: (A) one (B) two\n{LETTER_INSTRUCTION}"
    )
    assert request.images == (PNG,)
    bare = ScienceQA().request(Query("2", "natural science", "Which?", choices=("one", "two")), NO_SHOTS)
    assert bare.prompt(0) == f"Question: Which?\nContext: N/A\nOptions: (A) one (B) two\n{LETTER_INSTRUCTION}"
