"""Thoughts are no answers: they are cut, or kept before the answer."""

from __future__ import annotations

import pytest

from benchcoe_jobs.engines.reasoning import final_answer, opens_thoughts

ANSWER = "The answer is (B)."


@pytest.mark.parametrize(
    "text",
    [
        f"<think>Perhaps the answer is (C)?</think> {ANSWER}",
        f"<THINK>\n(C)?\n</THINK>\n\n{ANSWER}",
        f"(C)?\n</think>\n\n{ANSWER}",
        f"<think></think>\n\n{ANSWER}",
        f"<think>one</think><think>two</think>{ANSWER}",
        f"<think>one <think> two</think>{ANSWER}",
        f"<thinking>(C)?</thinking>{ANSWER}",
        f"<thought>(C)?</thought>{ANSWER}",
        f"<seed:think>(C)?</seed:think>{ANSWER}",
        f"[THINK](C)?[/THINK]{ANSWER}",
        f"◁think▷(C)?◁/think▷{ANSWER}",
        f"<|START_THINKING|>(C)?<|END_THINKING|>{ANSWER}",
        f"{ANSWER}<think>or (C)?",
        f"<|channel|>analysis<|message|>(C)?<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        f"analysisThe answer is (C)?assistantfinal{ANSWER}",
        ANSWER,
    ],
)
def test_the_answer_is_what_stands_outside_of_thoughts(text: str) -> None:
    assert final_answer(text, (), keeps_reasoning=False) == ANSWER


@pytest.mark.parametrize("text", ["<think>The answer is (C)", "[THINK](C)", "<|channel|>analysis<|message|>(C)"])
def test_thoughts_without_an_end_are_no_answer(text: str) -> None:
    assert final_answer(text, (), keeps_reasoning=False) == ""


def test_thoughts_that_the_prompt_began() -> None:
    assert final_answer("(C)? </think>(B)", (), keeps_reasoning=False, begun=True) == "(B)"
    assert final_answer("The answer is (C)", (), keeps_reasoning=False, begun=True) == ""


def test_kept_thoughts_stand_before_the_answer() -> None:
    text = "<think>(C)?</think> (B)"
    assert final_answer(text, (), keeps_reasoning=True) == text
    assert final_answer("(B)", (), keeps_reasoning=True, thoughts="(C)?") == "<think>\n(C)?\n</think>\n\n(B)"
    assert final_answer("(B)", (), keeps_reasoning=False, thoughts="(C)?") == "(B)"


@pytest.mark.parametrize("keeps", [False, True])
def test_a_stop_string_within_thoughts_ends_nothing(keeps: bool) -> None:
    text = "<think>Question: which?</think>(B)\nQuestion: next"
    expected = "<think>Question: which?</think>(B)\n" if keeps else "(B)\n"
    assert final_answer(text, ("Question:",), keeps_reasoning=keeps) == expected
    assert final_answer("(B) Question: next", ("Question:",), keeps_reasoning=keeps) == "(B) "


def test_a_text_without_thoughts_is_not_changed() -> None:
    for text in ("", "  (B)\n", "a < b and thinking > c", "I think </b>"):
        assert final_answer(text, (), keeps_reasoning=False) == text


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [("<|assistant|><think>\n", True), ("<think></think>\n", False), ("<think> what?", False), ("", False)],
)
def test_a_prompt_that_ends_with_the_first_tag(prompt: str, opens: bool) -> None:
    assert opens_thoughts(prompt) is opens
