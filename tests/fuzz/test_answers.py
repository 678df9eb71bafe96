"""What endpoints answer: a completion, or an error of the engine for this request, whatever the answer contains."""

from __future__ import annotations

from typing import Any

import hostile
from hypothesis import given

from benchcoe_jobs.engines.endpoints.answers import read_answer, read_echo, require_model

LOGPROBS = {"tokens": ["<s>", "a", " b"], "token_logprobs": [None, -0.5, -1.0], "text_offset": [0, 0, 1]}
ANSWER = {
    "id": "x",
    "model": "tiny",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "text": "a b",
            "logprobs": LOGPROBS,
            "message": {"role": "assistant", "content": [{"type": "text", "text": "yes"}], "reasoning": "hm"},
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def _read(answer: dict[str, Any]) -> None:
    hostile.require_own_errors(lambda: require_model(answer, "tiny", ["tiny-*"]))
    hostile.require_own_errors(lambda: read_answer(answer))
    hostile.require_own_errors(lambda: read_echo(answer, "a b", 1))


@hostile.fuzzed
@given(answer=hostile.changed(ANSWER))
def test_answers(answer: dict[str, Any]) -> None:
    _read(answer)


@hostile.fuzzed
@given(choice=hostile.changed(ANSWER["choices"][0]))
def test_choices(choice: Any) -> None:
    _read(ANSWER | {"choices": [choice]})
