"""Prompts of local engines: the room beside them, and answers with thoughts."""

from __future__ import annotations

from typing import Any

import pytest

from benchcoe_jobs.domain import Decoding, Request
from benchcoe_jobs.engines.prompts import Prompter, completed

OPENING, CLOSING = "[THINK]", "[/THINK]"


class Letters:
    """A tokenizer with a token for each letter, and two special tokens."""

    bos_token_id = 1
    eos_token_id = 2
    all_special_ids = (1, 2, 3, 4)

    def __init__(self, template_end: str = "") -> None:
        self.chat_template = "yes"
        self._end = template_end

    def __call__(self, texts: list[str], **_: Any) -> dict[str, Any]:
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(chr(id_) for id_ in ids if id_ not in self.all_special_ids)

    def get_added_vocab(self) -> dict[str, int]:
        return {"<s>": 1, "</s>": 2, OPENING: 3, CLOSING: 4}

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return messages[-1]["content"] + self._end


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


@pytest.mark.parametrize(
    ("n_prompt", "n_shots", "limit", "room"),
    [
        (100, 0, 50, 50),
        (1000, 0, 24, 24),
        (1000, 0, 25, None),
        (100, 0, None, 912),  # 924 are left, in steps of 16
        (1010, 0, None, 14),
        (1023, 0, None, 1),
        (1024, 0, None, None),
        (896, 5, None, 128),
        (897, 5, None, None),  # worked examples leave an eighth of the context
    ],
)
def test_the_room_beside_a_prompt(n_prompt: int, n_shots: int, limit: int | None, room: int | None) -> None:
    assert Prompter(Letters(), 1024).room(n_prompt, n_shots, limit) == room


def test_a_model_whose_context_has_no_limit() -> None:
    assert Prompter(Letters(), None).room(10**6, 0, None) == 1 << 15
    assert Prompter(Letters(), None).room(10**6, 0, 7) == 7


def test_examples_are_dropped_for_an_answer_without_a_limit() -> None:
    request = Request("?" * 40, shots=("x" * 50,) * 3)
    prompts, failures = Prompter(Letters(), 128).prompts({0: request}, Decoding())
    assert (prompts[0].shots_used, prompts[0].max_new_tokens, failures) == (1, 38, {})
    _, failures = Prompter(Letters(), 128).prompts({0: Request("?" * 128)}, Decoding())
    assert "128 prompt tokens and 1 new do not fit into 128" in str(failures[0].error)


def test_tags_that_are_special_tokens_are_found() -> None:
    """Decoding leaves special tokens out, so thoughts would look like an answer."""
    prompter = Prompter(Letters(), None)
    new = [3, *letters("is it C?"), 4, *letters("B"), 2]
    assert prompter.has_thought_tags(new)
    assert prompter.answer(letters("Q"), new) == f"{OPENING}is it C?{CLOSING}B"
    assert not prompter.has_thought_tags(letters("B"))
    assert prompter.answer(letters("Q"), letters("B")) == "B"


@pytest.mark.parametrize(
    ("end", "chat", "answer"),
    [("<think>\n", True, "B"), ("<think>\n", False, "C?"), ("<think></think>\n", True, "C?"), ("", True, "C?")],
)
def test_a_template_that_begins_thoughts(end: str, chat: bool, answer: str) -> None:
    begun = Prompter(Letters(end), None).opens_thoughts(Decoding(chat=chat))
    text = "C?</think>B" if begun else "C?"
    one = completed(text, 1, 2, 0, True, Decoding(), keeps_reasoning=False, begun=begun)
    assert (one.text, one.finish_reason) == (answer, "stop")


def test_truncated_thoughts_are_no_answer() -> None:
    one = completed("it is (C)", 1, 2, 0, False, Decoding(), keeps_reasoning=False, begun=True)
    assert (one.text, one.finish_reason, one.error) == ("", "length", None)
